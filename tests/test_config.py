"""Every number in one place: round trips, overrides, mistakes, presets."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tf_spot.config import PAPER, PRESETS, Config, preset
from tf_spot.errors import UserError


def test_the_papers_numbers() -> None:
    game, network, training = PAPER.game, PAPER.network, PAPER.training
    assert (PAPER.preset, PAPER.data.image_size, network.width, network.levels) == ("stl10", 96, 1.0, 4)
    assert (game.drop_rate, game.fill, game.real_images) == (0.5, "avg3", "decoded")
    assert game.gated and game.predict_mask and not game.repair_mask_loss
    assert (game.update, game.adversarial_loss, game.mask_targets) == ("alternating", "nonsaturating", "repaired")
    assert game.adversarial_halves == "corrupt" and not game.zero_residual
    assert (game.mask_weight, game.kept_weight, game.weight_decay) == (0.1, 0.0, 5e-5) and game.history_batches > 0
    assert (network.norm_momentum, network.norm_epsilon, network.negative_slope) == (0.975, 1e-3, 0.2)
    assert (network.fc_units, network.dropout_rate, network.trunk_norm) == (4096, 0.5, "response")
    assert (training.batch_size, training.spotter_steps, training.reconstruction_weight) == (256, 195_250, 30.0)
    assert (training.adam_beta_1, training.adam_epsilon, training.discriminator_learning_rate) == (0.5, 1e-5, 3e-4)
    assert preset("stl10") == PAPER


def test_the_authors_code_differs_from_the_paper_in_eight_fields() -> None:
    authors = preset("authors2019")
    ours, theirs = PAPER.to_dict()["game"], authors.to_dict()["game"]
    assert {name: value for name, value in theirs.items() if value != ours[name]} == {
        "drop_rate": 0.7, "history_batches": 0, "update": "simultaneous", "adversarial_loss": "confusion",
        "adversarial_halves": "both", "mask_targets": "both", "kept_weight": 30.0, "repair_mask_loss": True,
    }  # fmt: skip
    assert (authors.data, authors.network, authors.training) == (PAPER.data, PAPER.network, PAPER.training)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_build_and_round_trip(name: str, tmp_path: Path) -> None:
    config = preset(name)
    assert config.preset == name
    (tmp_path / "config.json").write_text(config.to_json())
    assert Config.load(tmp_path / "config.json") == config
    for field, value in PRESETS[name].items():
        group, leaf = field.split(".")
        assert getattr(getattr(config, group), leaf) == value


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="stl10, authors2019, small, gpu, tiny; received: huge"):
        preset("huge")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("game.drop_rate=0.7", 0.7),
        ("network.width=1", 1.0),  # an int is a float
        ("training.batch_size=64", 64),
        ("training.batch_size=6.4e1", 64),
        ("network.stem_stride=4.0", 4),
        ("game.gated=false", False),
        ("game.gated=False", False),
        ("game.fill=noise", "noise"),
        (' game.fill = "zero" ', "zero"),
        ("training.adam_epsilon=1e-8", 1e-8),
    ],
)
def test_override(text: str, value: Any) -> None:
    group, leaf = text.partition("=")[0].strip().split(".")
    changed = getattr(getattr(PAPER.override([text]), group), leaf)
    assert changed == value and type(changed) is type(value)


def test_overrides_apply_in_order_and_leave_the_rest() -> None:
    config = PAPER.override(["game.drop_rate=0.7", "data.image_size=64", "game.drop_rate=0.9"])
    assert (config.game.drop_rate, config.data.image_size) == (0.9, 64)
    assert config.replace(**{"game.drop_rate": 0.5, "data.image_size": 96}) == PAPER
    assert PAPER.replace(preset="mine").preset == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("game.drop_rate", "wants field.name=value.*game.drop_rate"),
        ("game.drop=0.5", "unknown field; allowed: .*game.drop_rate.*received: game.drop"),
        ("drop_rate=0.5", "unknown field.*received: drop_rate"),
        ("game=0.5", "unknown field.*received: game"),
        ("game.drop_rate=much", "game.drop_rate must be float; received: 'much'"),
        ("game.drop_rate=true", "game.drop_rate must be float; received: True"),
        ("game.gated=1", "game.gated must be bool; received: 1"),
        ("training.batch_size=1.5", "training.batch_size must be int; received: 1.5"),
        ("training.batch_size=true", "training.batch_size must be int"),
        ("game.fill=black", "game.fill must be one of avg3, global, zero, noise; received: 'black'"),
        ("game.drop_rate=1", r"game.drop_rate must be in \[0, 1\); received: 1"),
        ("game.drop_rate=-0.1", "game.drop_rate must be in"),
        ("data.saturation=1.5", r"data.saturation must be in \[0, 1\]"),
        ("training.batch_size=0", "training.batch_size must be above 0; received: 0"),
        ("network.width=-1", "network.width must be above 0"),
        ("game.weight_decay=-1", "game.weight_decay must be 0 or more"),
        ("training.discriminator_learning_rate=NaN", "must be a finite number; received: nan"),
        ("network.width=Infinity", "network.width must be a finite number"),
        ("network.stem_stride=3", "network.stem_stride must be one of 1, 2, 4, 8; received: 3"),
        ("network.stem_stride=true", "network.stem_stride must be one of 1, 2, 4, 8; received: True"),
        ("data.image_size=100", "data.image_size must be a multiple of 16 and at least 32.*received: 100"),
        ("data.image_size=16", "at least 32"),
        ("network.stem_stride=8", None),
    ],
)
def test_mistakes_are_named(text: str, message: str | None) -> None:
    if message is None:
        assert PAPER.override([text]).network.levels == 5
        return
    with pytest.raises(UserError, match=message):
        PAPER.override([text])


def test_update_simultaneous_and_history_exclude_each_other() -> None:
    with pytest.raises(UserError, match="game.update=simultaneous.*game.history_batches"):
        PAPER.override(["game.update=simultaneous"])


def test_file_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    values = PAPER.to_dict()
    values["game"]["drops"] = 3
    with pytest.raises(UserError, match="received: game.drops"):
        Config.from_dict(values)
    with pytest.raises(UserError, match="received: games"):
        Config.from_dict({"games": {}})


def test_levels_follow_the_stem_stride() -> None:
    for stride, levels in ((1, 2), (2, 3), (4, 4), (8, 5)):
        assert PAPER.replace(**{"network.stem_stride": stride}).network.levels == levels


def test_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PAPER.game.drop_rate = 0.1  # type: ignore[misc]


@pytest.mark.parametrize(("width", "stem_stride", "channels"), [(0.25, 2, 64), (0.5, 2, 128), (1.0, 4, 512)])
def test_a_recipe_of_before_keeps_its_losses_and_its_encoding(
    width: float, stem_stride: int, channels: int, tmp_path: Path
) -> None:
    values = PAPER.replace(**{"network.width": width, "network.stem_stride": stem_stride}).to_dict()
    del values["game"]["adversarial_halves"], values["network"]["encoding_ratio"], values["game"]["history_steps"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    found = Config.load(tmp_path / "config.json")
    assert (found.game.adversarial_halves, found.network.encoding_channels) == ("both", channels)
    assert found.game.history_steps == 2


def test_reading_a_config_does_not_load_tensorflow() -> None:
    code = "import sys, tf_spot.config; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
