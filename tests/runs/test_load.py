"""What a run has trained, loaded from its files or its checkpoints; what does not fit is refused."""

import os
import shutil

import keras
import numpy as np
import pytest

from tests.support.tiny_recipe import TINY
from tests.support.toy_stage import Toy
from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs import checkpoints
from tf_spot.runs.load import load_autoencoder, load_backbone, load_classifier, load_spotter, optimizers, restore
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json

STEP = 5
CONFIG = preset("tiny").replace(**TINY)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(-1, 1, (2, 16, 16, 3)).astype("float32")


@pytest.fixture(scope="module")
def spotter():
    """As if trained: no weight is that of a new model."""
    spotter = build_spotter(CONFIG, build_autoencoder(CONFIG))
    numbers = np.random.default_rng(0)
    for variable in (*spotter.autoencoder.trainable_variables, *spotter.trainable_variables):
        variable.assign_add(0.1 * numbers.normal(size=variable.shape))
    return spotter


def write_checkpoint(run, stage, model):
    for optimizer in optimizers(model):
        optimizer.iterations.assign(STEP)
    checkpoints.write(run.checkpoints(stage), STEP, {}, model.save_weights, keep=2)


@pytest.fixture(scope="module")
def unfinished(spotter, tmp_path_factory):
    """A run with a checkpoint of either stage."""
    run = Run.create(tmp_path_factory.mktemp("unfinished"), CONFIG, {})
    write_checkpoint(run, "autoencoder", spotter.autoencoder)
    write_checkpoint(run, "spotter", spotter)
    return run


@pytest.fixture(scope="module")
def finished(spotter, tmp_path_factory):
    """A run with both stages' files and no checkpoint."""
    run = Run.create(tmp_path_factory.mktemp("finished"), CONFIG, {})
    spotter.autoencoder.save(run.model_path("autoencoder"))
    spotter.save(run.model_path("spotter"))
    return run


@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_models_load_from_files_and_from_checkpoints(state, spotter, images, request):
    run = request.getfixturevalue(state)
    conv5 = spotter.backbone(images)["conv5"]
    for given in (run, run.path, str(run.path)):
        np.testing.assert_array_equal(load_spotter(given).backbone(images)["conv5"], conv5)
    decoded = spotter.autoencoder(images)
    np.testing.assert_array_equal(load_spotter(run).autoencoder(images), decoded)
    np.testing.assert_array_equal(load_autoencoder(run)(images), decoded)


@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_weights_stay_whatever_the_precision(state, spotter, request):
    loaded = load_autoencoder(request.getfixturevalue(state), "mixed_bfloat16")
    assert loaded.encoder.dtype_policy.name == "mixed_bfloat16"
    for ours, theirs in zip(loaded.get_weights(), spotter.autoencoder.get_weights(), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


def test_a_spotter_trained_in_bfloat16_computes_in_float32(images, tmp_path):
    config = CONFIG.replace(**{"training.precision": "mixed_bfloat16"})
    trained = build_spotter(config, build_autoencoder(config))
    run = Run.create(tmp_path, config, {})
    trained.save(run.model_path("spotter"))
    loaded = load_spotter(run)
    assert loaded.dtype_policy.name == loaded.backbone.convs[0].dtype_policy.name == "float32"
    exact = build_spotter(CONFIG, build_autoencoder(CONFIG))  # the same seed, so the same weights
    conv5 = loaded.backbone(images)["conv5"]
    np.testing.assert_array_equal(conv5, exact.backbone(images)["conv5"])
    assert np.abs(trained.backbone(images)["conv5"] - conv5).max() > 0


def test_a_checkpoint_that_lacks_a_part_of_the_model_is_refused(unfinished):
    """Keras would leave the part out with a warning and train on from a new one."""
    checkpoint, _ = checkpoints.newest_good(unfinished.checkpoints("autoencoder"))
    autoencoder = build_autoencoder(CONFIG)
    autoencoder.compile(keras.optimizers.SGD(0.1))
    with pytest.raises(UserError, match="does not fit this model.*optimizer"):
        restore(autoencoder, checkpoint)
    moved = checkpoint._replace(step=4)
    with pytest.raises(UserError, match="is of step 4, but optimizer fused_adam.* of 5"):
        restore(build_autoencoder(CONFIG), moved)


def test_an_untrained_run_gives_no_spotter(tmp_path):
    Run.create(tmp_path, CONFIG, {})
    with pytest.raises(UserError, match="neither spotter.keras nor a checkpoint"):
        load_spotter(tmp_path)
    with pytest.raises(UserError, match="neither autoencoder.keras nor a checkpoint"):
        load_autoencoder(tmp_path)
    with pytest.raises(UserError, match="no classifier.keras; make one with: tf-spot evaluate .* --task finetune"):
        load_classifier(tmp_path)


def test_a_row_of_another_method_gives_its_backbone_alone(spotter, tmp_path):
    run = Run.create(tmp_path / "rotation-0", CONFIG, {})
    spotter.backbone.save(run.model_path("backbone"))
    with pytest.raises(UserError, match="nor a checkpoint of it; run: tf-spot train --resume"):
        load_backbone(run.path)
    assert run.rival is None, "it is not finished"
    write_json(run.path / "result.json", {"method": "rotation", "images_seen": 640, "seconds": 1.5})
    assert run.rival == ("rotation", 640, 1.5)
    loaded, image_size = load_backbone(run.path)
    assert image_size == 16
    for ours, theirs in zip(loaded.get_weights(), spotter.backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(UserError, match="it is of the method rotation, which trains a backbone alone"):
        load_spotter(run)
    spotter.save(run.model_path("spotter"))
    assert run.rival is None, "the row of a spotter has its backbone beside it"


def test_all_optimizers_of_a_model_are_found():
    model = Toy()
    model.compile(keras.optimizers.SGD(1.0))
    model.second = keras.optimizers.Adam(1.0)
    assert {type(o).__name__ for o in optimizers(model)} == {"SGD", "Adam"}
    model.first = model.optimizer
    assert len(optimizers(model)) == 2, "one of them has two names"


@pytest.fixture
def whole(unfinished, finished, tmp_path):
    """A run with both stages' files and checkpoints, to be damaged."""
    shutil.copytree(unfinished.path, tmp_path / "whole")
    for stage in ("autoencoder", "spotter"):
        shutil.copy(finished.model_path(stage), tmp_path / "whole")
    return Run(tmp_path / "whole")


def cut(path):
    path.write_bytes(path.read_bytes()[:-2000])


def spoil(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "damage", [cut, spoil, lambda path: path.write_bytes(b""), lambda path: path.write_text("text")]
)
def test_a_damaged_model_gives_way_to_the_checkpoint_and_is_told(damage, whole, spotter, images, caplog):
    for stage in ("autoencoder", "spotter"):
        damage(whole.model_path(stage))
    np.testing.assert_array_equal(load_autoencoder(whole)(images), spotter.autoencoder(images))
    np.testing.assert_array_equal(load_spotter(whole).backbone(images)["conv5"], spotter.backbone(images)["conv5"])
    for stage in ("autoencoder", "spotter"):
        assert f"{stage}.keras, not to be loaded: " in caplog.text
    assert "the newest good checkpoint of the run is taken instead" in caplog.text


def test_a_damaged_model_without_a_checkpoint_is_told_in_one_line(whole):
    shutil.rmtree(whole.path / "checkpoints")
    cut(whole.model_path("spotter"))
    with pytest.raises(
        UserError, match="must be as it was saved; received: .*spotter.keras, not to be loaded: "
    ) as caught:
        load_spotter(whole)
    assert "\n" not in str(caught.value)
    (whole.path / "classifier.keras").write_text("text")
    with pytest.raises(UserError, match="classifier.keras, not to be loaded: .*tf-spot evaluate .* --task finetune"):
        load_classifier(whole)


def test_a_fifo_in_place_of_a_model_is_not_waited_for(whole):
    whole.model_path("spotter").unlink()
    os.mkfifo(whole.model_path("spotter"))
    assert load_spotter(whole).count_params()  # from the checkpoint
