"""The backbone that a training begins with: refused early, kept in the run folder, the same when the run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tf_spot
from tests.support.grey_photos import write
from tests.support.own_models import CONV_LAYERS, small_conv, small_vit
from tests.support.tiny_recipe import TINY
from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.models.backbones import KerasBackbone
from tf_spot.runs.load import load_first_backbone
from tf_spot.runs.run import Run
from tf_spot.training import first_backbone
from tf_spot.training.first_backbone import begin_backbone

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

CONFIG = preset("tiny").replace(**TINY)  # 16 pixels, cells of 4
DATA = {"spec": "x", "name": "x", "fingerprint": "", "counts": {}}


def mine() -> KerasBackbone:
    return KerasBackbone(small_conv(stride=4), CONV_LAYERS)


def test_a_recipe_at_random_weights_has_none(tmp_path: Path) -> None:
    assert begin_backbone(CONFIG, None, tmp_path / "run", False) == (CONFIG, None)


def test_one_that_is_given_takes_the_place_of_the_recipes(tmp_path: Path) -> None:
    own = mine()
    config, first = begin_backbone(CONFIG, own, tmp_path / "run", False)
    assert config.network.backbone == "initial/backbone.keras" and first is own
    _, first = begin_backbone(CONFIG, small_vit(16, patch=4), tmp_path / "run", False)
    assert isinstance(first, KerasBackbone), "a Keras model, by its five outputs"


def test_other_cells_than_the_encodings_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="conv5 must have the cells of the encoding, 4 x 4 .*2 x 2 at 16 pixels"):
        tf_spot.train(
            CONFIG, "folder:absent", tmp_path / "run", backbone=KerasBackbone(small_conv(stride=8), CONV_LAYERS)
        )
    config = CONFIG.replace(**{"network.backbone": str(tmp_path / "absent.keras")})
    with pytest.raises(UserError, match="absent.keras, which is no file"):
        tf_spot.train(config, "folder:absent", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_its_own_and_with_no_other(tmp_path: Path) -> None:
    config, first = begin_backbone(CONFIG, mine(), tmp_path / "run", False)
    assert first is not None

    def prepare(folder: Path) -> None:
        (folder / "initial").mkdir()
        first.save(folder / "initial" / "backbone.keras")

    run = Run.resume(tmp_path / "run", config, DATA, prepare)
    assert begin_backbone(config, None, run.path, True) == (config, None), "neither file nor model is needed"
    assert begin_backbone(CONFIG, mine(), run.path, True) == (config, None), "the same layers"
    other = KerasBackbone(small_conv(stride=4), CONV_LAYERS, preprocess="0..1")
    with pytest.raises(UserError, match="a run goes on with its own backbone; received: another one"):
        begin_backbone(CONFIG, other, run.path, True)
    kept = load_first_backbone(run)
    assert kept is not None and all(map(np.array_equal, kept.get_weights(), first.get_weights()))


def test_weights_of_imagenet_are_in_the_recipe_and_in_the_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tf_spot.training.plan import _given_weights

    config = CONFIG.replace(**{"network.backbone": "MobileNetV3Small", "network.backbone_weights": "imagenet",
                               "network.stem_stride": 4, "data.image_size": 32})  # fmt: skip
    assert _given_weights(config.network) == {
        "backbone_begins_with": "MobileNetV3Small of ImageNet, learned with labels"
    }
    assert _given_weights(CONFIG.network) == {}
    asked = []
    monkeypatch.setattr(first_backbone, "first_backbone", lambda config: asked.append(config) or mine())
    monkeypatch.setattr(first_backbone, "check_cells", lambda *words: None)
    assert begin_backbone(config, None, tmp_path / "run", False)[0] == config and asked == [config]
    with pytest.raises(UserError, match="backbone_weights is for models of keras.applications; received: .*=alexnet"):
        CONFIG.replace(**{"network.backbone_weights": "imagenet"})


@pytest.mark.slow
def test_a_training_from_a_file_of_ones_own_goes_on_when_the_file_is_gone(tmp_path: Path) -> None:
    write(tmp_path / "photos", *range(0, 240, 10))
    own = mine()
    own.save(tmp_path / "mine.keras")
    config = CONFIG.replace(**{"network.backbone": str(tmp_path / "mine.keras")})
    spotter = tf_spot.train(config, f"folder:{tmp_path / 'photos'}", tmp_path / "run")
    assert not all(map(np.array_equal, spotter.backbone.get_weights(), own.get_weights())), "it was trained"
    (tmp_path / "mine.keras").unlink()
    (tmp_path / "run" / "spotter.keras").unlink()
    again = tf_spot.train(config, f"folder:{tmp_path / 'photos'}", tmp_path / "run", resume=True)
    assert all(map(np.array_equal, again.backbone.get_weights(), spotter.backbone.get_weights()))
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())
    assert recorded["network"]["backbone"].endswith("mine.keras")
