"""The oracles of a search: the order of the grid, the ranges of the others."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.experiments.oracles import make_oracle, make_tuner
from tf_spot.experiments.search_space import ORACLES
from tf_spot.training.callbacks import NonFiniteLoss

CONFIG = preset("tiny").replace(**{"training.seed": 1})


def proposed(oracle: Any, trial_id: str) -> Any:
    return oracle.populate_space(trial_id).get("values")


def test_a_grid_is_every_combination_in_order() -> None:
    """The number of the trial alone decides, so a continued search goes on in the same order."""
    oracle = make_oracle("grid", ["adversarial_loss", "width"], None, CONFIG)
    assert oracle.max_trials is None
    losses, widths = ("nonsaturating", "minimax", "confusion"), (0.25, 0.5, 1.0)
    wanted = [{"game.adversarial_loss": loss, "network.width": width} for loss in losses for width in widths]
    assert [proposed(oracle, f"{number:04d}") for number in range(9)] == wanted
    assert oracle.populate_space("0009") == {"status": "STOPPED"}


def test_other_oracles_draw_from_the_range() -> None:
    oracle = make_oracle("random", ["drop_rate"], None, CONFIG)
    assert oracle.max_trials == 10
    rates = [proposed(oracle, f"{number:04d}")["game.drop_rate"] for number in range(8)]
    assert all(0.1 <= rate <= 0.9 for rate in rates) and len(set(rates)) == 8
    again = make_oracle("random", ["drop_rate"], None, CONFIG)
    assert proposed(again, "0000")["game.drop_rate"] == rates[0], "the seed decides"


@pytest.mark.parametrize(("kind", "trials"), [("bayesian", 3), ("random", 4)])
def test_trials_are_at_most(kind: str, trials: int) -> None:
    assert make_oracle(kind, ["drop_rate"], trials, CONFIG).max_trials == trials


def test_hyperband_trains_the_whole_recipe_at_most() -> None:
    config = CONFIG.replace(**{"training.spotter_steps": 120, "training.steps_per_epoch": 10})
    assert make_oracle("hyperband", ["drop_rate"], None, config).max_epochs == 12


def test_hyperband_needs_an_epoch() -> None:
    config = CONFIG.replace(**{"training.spotter_steps": 9, "training.steps_per_epoch": 10})
    with pytest.raises(UserError, match="spotter_steps=9 with training.steps_per_epoch=10"):
        make_oracle("hyperband", ["drop_rate"], None, config)


def test_a_trial_whose_loss_stops_being_finite_fails_alone_and_other_mistakes_end_the_search(tmp_path: Path) -> None:
    seen: list[str] = []

    def objectives(trial: Any) -> list[float]:
        seen.append(trial.trial_id)
        if trial.trial_id == "0000":
            raise NonFiniteLoss("losses must stay finite")
        if trial.trial_id == "0002":
            raise UserError("the photos are gone")
        return [0.5]

    with pytest.raises(ValueError, match="the photos are gone"):
        make_tuner(make_oracle("grid", ["drop_rate"], None, CONFIG), tmp_path, objectives).search()
    assert seen == ["0000", "0001", "0002"]
    assert (tmp_path / "trials" / "0000.txt").read_text() == "NonFiniteLoss: losses must stay finite\n"


@pytest.mark.parametrize("kind", ORACLES)
def test_a_trial_that_was_stopped_goes_on_with_its_own_values(kind: str, tmp_path: Path) -> None:
    """The first of all too, before which Keras Tuner saves nothing of its own; its run folder is there already."""
    seen: list[dict[str, Any]] = []

    def stop(trial: Any) -> list[float]:
        seen.append(dict(trial.hyperparameters.values))
        raise KeyboardInterrupt

    def finish(trial: Any) -> list[float]:
        seen.append(dict(trial.hyperparameters.values))
        return [0.5]

    for objectives in (stop, finish):
        with contextlib.suppress(KeyboardInterrupt):
            make_tuner(make_oracle(kind, ["drop_rate"], 2, CONFIG), tmp_path, objectives).search()
    assert seen[0] == seen[1] != seen[2] and "game.drop_rate" in seen[0]


def test_a_damaged_search_is_told_in_one_line(tmp_path: Path) -> None:
    oracle = make_oracle("random", ["drop_rate"], 2, preset("tiny"))
    make_tuner(oracle, tmp_path, lambda trial: [0.5]).search()
    (tmp_path / "search" / "oracle.json").write_text("{")
    with pytest.raises(UserError, match="received: .*search, JSONDecodeError"):
        make_tuner(make_oracle("random", ["drop_rate"], 2, preset("tiny")), tmp_path, lambda trial: [0.5])
