"""What a new run takes of another one: all that fits, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.small_networks import narrow
from tests.support.tiny_recipe import TINY
from tests.support.untrained_run import write_run
from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs import cards
from tf_spot.runs.pretrained import write_pretrained
from tf_spot.runs.run import Run
from tf_spot.training.warm_start import begun_with, load_first_weights, take_fitting, warm_start

CONFIG = preset("tiny").replace(**TINY)
DATA = {"spec": "x", "name": "x", "fingerprint": "", "counts": {}}


def other_weights(model):
    """As if trained: no weight is that of a new model."""
    numbers = np.random.default_rng(3)
    model.set_weights([numbers.normal(size=value.shape).astype("float32") for value in model.get_weights()])
    return model


def same(ours, theirs):
    return [np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)]


def test_weights_of_another_shape_stay_random_and_are_named():
    new, trained = narrow(fc_units=16), other_weights(narrow(fc_units=8))
    before = new.fc1.get_weights()
    taken = take_fitting(new, trained)
    assert all(same(new.backbone.get_weights(), trained.backbone.get_weights()))
    assert all(same(new.mask_head.get_weights(), trained.mask_head.get_weights()))
    assert all(same(new.fc1.get_weights(), before))
    # fc1's kernel, three of fc1_norm, fc2's kernel; the bias of fc2 has two values in both
    assert (taken.total, taken.total - taken.fitting) == (len(new.get_weights()), 5)
    assert (
        taken.words().startswith(f"{taken.fitting} of {taken.total} weights; at random: fc1 (")
        and "..." in taken.words()
    )
    assert all(same(new.fc2.get_weights(), trained.fc2.get_weights())[1:])


def test_all_of_an_equal_network_is_taken():
    new, trained = narrow(), other_weights(narrow())
    taken = take_fitting(new, trained)
    assert all(same(new.get_weights(), trained.get_weights()))
    assert taken.words() == f"{taken.total} of {taken.total} weights" and taken.total == len(new.get_weights())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run at 16 pixels with weights of its own."""
    run = Run.create(tmp_path_factory.mktemp("runs") / "trained", CONFIG, DATA)
    spotter = build_spotter(CONFIG, build_autoencoder(CONFIG))
    for network in (spotter.autoencoder.encoder, spotter.autoencoder.decoder, spotter.discriminator, spotter.repair):
        other_weights(network)
    spotter.autoencoder.save(run.model_path("autoencoder"))
    spotter.save(run.model_path("spotter"))
    return run, spotter


def test_a_run_at_another_size_takes_all_but_the_layer_of_all_cells(trained, tmp_path):
    run, spotter = trained
    config = CONFIG.replace(**{"data.image_size": 32, "game.drop_rate": 0.3})
    start = warm_start(run.path, config)
    start.write(tmp_path)
    words = start.words()
    assert list(words) == [f"{name}_begins_with" for name in ("encoder", "decoder", "discriminator", "repair")]
    assert "; at random: fc1 (" in words["discriminator_begins_with"]
    assert not [name for name in words if name[:2] != "di" and "random" in words[name]]
    new = Run.create(tmp_path / "new", config, DATA, prepare=start.write)
    autoencoder = build_autoencoder(config)
    load_first_weights(new, "autoencoder", autoencoder)
    assert all(same(autoencoder.encoder.get_weights(), spotter.autoencoder.encoder.get_weights()))
    assert all(same(autoencoder.decoder.get_weights(), spotter.autoencoder.decoder.get_weights()))
    second = build_spotter(config, autoencoder)
    load_first_weights(new, "spotter", second)
    assert all(same(second.backbone.get_weights(), spotter.backbone.get_weights()))
    assert all(same(second.repair.get_weights(), spotter.repair.get_weights()))
    assert int(second.optimizer.iterations.numpy()) == 0 and begun_with(new) == str(run.path)


def test_a_run_without_first_weights_begins_at_random(tmp_path):
    run, autoencoder = Run.create(tmp_path, CONFIG, DATA), build_autoencoder(CONFIG)
    before = autoencoder.get_weights()
    load_first_weights(run, "autoencoder", autoencoder)
    assert all(same(autoencoder.get_weights(), before)) and begun_with(run) is None


def test_of_a_run_that_stopped_in_stage_1_the_autoencoder_is_taken(trained, tmp_path):
    run = Run.create(tmp_path / "stopped", CONFIG, DATA)
    trained[1].autoencoder.save(run.model_path("autoencoder"))
    assert set(warm_start(run.path, CONFIG).taken) == {"encoder", "decoder"}


def test_a_pretrained_backbone_goes_into_the_discriminator(trained, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(cards, "FOLDER", tmp_path)
    backbone = trained[1].backbone
    write_pretrained("known", backbone, 16, "float32", {})
    start = warm_start("known", CONFIG)
    assert start.words() == {"backbone_begins_with": f"{(n := len(backbone.get_weights()))} of {n} weights"}
    assert all(same(start.networks["discriminator"].backbone.get_weights(), backbone.get_weights()))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere", "--init-from takes a run folder or a pretrained name .*; received: nowhere"),
        ("empty", "a run folder holds config.json"),
        ("wider", "--init-from needs a network with some kernels of the same shapes.*none fits"),
    ],
)
def test_mistakes_are_told(tmp_path, source, says):
    (tmp_path / "empty").mkdir()
    if source == "wider":
        write_run(tmp_path / "wider")
    wider = {"network.width": 1.0, "network.stem_kernel": 7, "network.stem_stride": 2, "game.predict_mask": False}
    config = CONFIG.replace(**wider)
    with pytest.raises(UserError, match=says):
        warm_start(tmp_path / source if source != "nowhere" else source, config)
