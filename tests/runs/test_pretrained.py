"""Backbones that come with the package: written, read, and refused when their file was changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tf_spot
from tests.support.small_backbones import NORM
from tf_spot.config import LAYERS, preset
from tf_spot.errors import UserError
from tf_spot.models.backbones import AlexNet, Backbone, build_backbone
from tf_spot.runs import cards, pretrained
from tf_spot.runs.cards import pretrained_card, pretrained_names
from tf_spot.runs.load import load_backbone
from tf_spot.runs.pretrained import load_pretrained, write_pretrained

IMAGES = np.random.default_rng(1).uniform(-1, 1, (2, 16, 16, 3)).astype("float32")
FACTS = {"data": "noise", "licence": "CC0", "limits": ["it knows nothing"]}


@pytest.fixture
def backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """A backbone; what is written of it goes into a folder of this test."""
    monkeypatch.setattr(cards, "FOLDER", tmp_path / "pretrained")
    alexnet = build_backbone("alexnet", width=0.05, stem_kernel=5, stem_stride=1, trunk_norm="batch", **NORM)
    for norm in alexnet.norms:
        norm.moving_mean.assign_add(np.full(norm.moving_mean.shape, 0.3))
    return alexnet


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0), ("float16", 2**-11)])  # half of its last digit
def test_what_is_written_is_read(backbone: Backbone, dtype: str, tolerance: float) -> None:
    card = write_pretrained("tiny", backbone, 16, dtype, FACTS)
    loaded = load_pretrained("tiny")
    assert type(loaded) is AlexNet and loaded.compute_dtype == "float32"
    for ours, theirs in zip(loaded.get_weights(), backbone.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=1e-7 * (tolerance > 0))
    assert pretrained_names() == ["tiny"] and pretrained_card("tiny") == json.loads(json.dumps(card))
    assert card["licence"] == "CC0" and card["limits"] == ["it knows nothing"] and card["dtype"] == dtype
    assert card["bytes"] == (cards.FOLDER / "tiny.npz").stat().st_size


def test_the_name_is_a_source_of_features(backbone: Backbone) -> None:
    write_pretrained("tiny", backbone, 16, "float32", FACTS)
    loaded = load_backbone("tiny")
    assert loaded.image_size == 16
    np.testing.assert_array_equal(loaded.backbone(IMAGES)["conv5"], backbone(IMAGES)["conv5"])
    assert tf_spot.feature_extractor("tiny").input_shape == (None, 16, 16, 3)


def test_a_changed_file_is_refused(backbone: Backbone) -> None:
    write_pretrained("tiny", backbone, 16, "float32", FACTS)
    weights = cards.FOLDER / "tiny.npz"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match="must have the SHA-256 .*tiny.npz, missing or changed"):
        load_pretrained("tiny")
    weights.unlink()
    with pytest.raises(UserError, match="missing or changed"):
        load_pretrained("tiny")


def test_an_unknown_name_is_told_with_the_known_ones(backbone: Backbone) -> None:
    with pytest.raises(UserError, match="allowed: none in this version; received: other"):
        load_pretrained("other")
    write_pretrained("tiny", backbone, 16, "float32", FACTS)
    with pytest.raises(UserError, match="allowed: tiny; received: ../tiny"):
        load_pretrained("../tiny")


def test_large_weights_are_not_put_into_the_package(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "MAX_BYTES", 1_000)
    with pytest.raises(UserError, match="at most 1,000 bytes"):
        write_pretrained("tiny", backbone, 16, "float32", FACTS)
    assert not list(cards.FOLDER.iterdir())


def test_every_backbone_of_the_package_loads() -> None:
    for name in pretrained_names():
        assert load_pretrained(name).count_params() > 0
        assert {"data", "licence", "command", "cost", "figures", "limits"} <= pretrained_card(name).keys()


@pytest.mark.parametrize("name", pretrained_names())
def test_what_comes_with_the_package_is_whole_and_says_what_it_is(name: str) -> None:
    card, backbone = pretrained_card(name), load_pretrained(name)
    size = card["image_size"]
    maps = backbone(np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3)).astype("float32"))
    assert list(maps) == list(LAYERS) and all(np.isfinite(value).all() for value in maps.values())
    assert card["bytes"] == (cards.FOLDER / f"{name}.npz").stat().st_size <= pretrained.MAX_BYTES
    assert {"data", "licence", "command", "cost", "figures", "limits", "made"} <= set(card)
    accuracies = card["figures"][card["dtype"]]["by_layer"]
    assert list(accuracies) == list(LAYERS) and all(10 < value < 100 for value in accuracies.values())
    assert not any(word in json.dumps(card) for word in ("/tmp", "/work", "/home"))


def test_the_readmes_weights_are_those_of_its_table() -> None:
    root = Path(__file__).parents[2]
    table = json.loads((root / "results" / "linear-imagenette96.json").read_text(encoding="utf-8"))
    card = pretrained_card("imagenette96-small")
    assert card["figures"]["float32"]["by_layer"] == table["by_layer"]
    assert 'load_pretrained("imagenette96-small")' in (root / "README.md").read_text(encoding="utf-8")


def test_the_readmes_weights_are_of_the_preset_as_it_is() -> None:
    card = pretrained_card("imagenette96-small")
    assert card["config"] == preset("small").replace(**{"training.precision": "mixed_bfloat16"}).to_dict()
