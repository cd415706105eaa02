"""Learning rates that a comparison tries: which, how the best is kept, and what a second command does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.comparison_recipe import CONFIG
from tf_spot.data import open_source
from tf_spot.errors import UserError
from tf_spot.experiments import comparison, rate_search
from tf_spot.experiments.budget import Budget
from tf_spot.experiments.comparison_row import Trained
from tf_spot.experiments.rate_search import factors, scaled
from tf_spot.experiments.table import Table
from tf_spot.storage.files import append_line

BUDGET = Budget(images=40)


@pytest.mark.parametrize(
    ("method", "changed"),
    [
        ("spot", {"discriminator_learning_rate": 3e-3, "repair_learning_rate": 3e-3}),
        ("gan", {"discriminator_learning_rate": 3e-3, "repair_learning_rate": 3e-3}),
        ("autoencoder", {"autoencoder_learning_rate": 6e-2}),
        ("rotation", {"discriminator_learning_rate": 3e-3}),
        ("kmeans", {}),
    ],
)
def test_a_factor_scales_the_methods_own_rate(method: str, changed: dict[str, float]) -> None:
    before, after = (config.to_dict()["training"] for config in (CONFIG, scaled(CONFIG, method, 3.0)))
    assert {name: after[name] for name in after if after[name] != before[name]} == pytest.approx(changed)


def test_a_method_without_a_rate_is_tried_once() -> None:
    assert factors("random", 3) == factors("kmeans", 3) == (1.0,)
    assert factors("spot", 3) == factors("rotation", 3) == (1.0, 0.3, 3.0)


def test_as_many_trials_as_there_are_rates(reds_and_blues: str, tmp_path: Path) -> None:
    for trials in (0, 6):
        with pytest.raises(UserError, match=f"--trials must be from 1 to 5: .*0.3.* received: {trials}"):
            comparison.compare(CONFIG, reds_and_blues, tmp_path / "out", ["random"], trials=trials)
    assert not (tmp_path / "out").exists()


def test_nothing_is_chosen_before_every_trial_has_an_answer(
    reds_and_blues: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that an error stopped is tried again, from its checkpoint, and may be the best."""
    stopped = [0.3]

    def trained(method, config, source, folder, budget, on_progress):
        factor = round(config.training.discriminator_learning_rate / CONFIG.training.discriminator_learning_rate, 1)
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        if factor in stopped:
            raise RuntimeError("no device")
        append_line(folder / "curve.jsonl", {"images_seen": 40, "value": 9 - factor, "layer": "conv5", "stderr": 1.0})
        return Trained({}, 40, 1.0)

    monkeypatch.setattr(rate_search, "train_row", trained)
    arguments = ("rotation", CONFIG, open_source(reds_and_blues, CONFIG), tmp_path, BUDGET, 2)
    table = Table()
    assert rate_search.choose_rate(*arguments, table) is None
    assert table.failed == {"rotation-x0.3-0": "RuntimeError: no device"}
    assert (tmp_path / "trials/rotation-x0.3/checkpoints").is_dir() and not (tmp_path / "rotation-0").exists()

    stopped.clear()
    table = Table()
    assert rate_search.choose_rate(*arguments, table) == {"factor": 0.3, "trials": {"1": 8.0, "0.3": 8.7}}
    assert table.failed == {} and (tmp_path / "rotation-0").is_dir()


@pytest.mark.slow
def test_the_best_trial_is_the_first_row_and_later_seeds_have_its_rate(reds_and_blues: str, tmp_path: Path) -> None:
    arguments = (CONFIG, reds_and_blues, tmp_path, ["rotation", "random"])
    result = comparison.compare(*arguments, seeds=2, budget=BUDGET, trials=2, num_values=50)
    assert result["failed"] == {} and result["trials"] == 2
    rate = result["methods"]["rotation"]["rate"]
    trials = {name: json.loads((tmp_path / f"trials/rotation-x{name}.json").read_text()) for name in ("1", "0.3")}
    assert rate["trials"] == {name: trial["value"] for name, trial in trials.items()}
    best = max(trials, key=lambda name: trials[name]["value"])
    assert rate["factor"] == float(best) and trials[best]["images_seen"] == 40
    for seed in (0, 1):
        row = json.loads((tmp_path / f"rotation-{seed}/result.json").read_text())
        assert row["config"]["training"]["discriminator_learning_rate"] == pytest.approx(float(best) * 1e-3)
        assert row["images_seen"] == 40 and (tmp_path / f"rotation-{seed}/backbone.keras").is_file()
    first = json.loads((tmp_path / "rotation-0/result.json").read_text())
    assert first["curve"][-1]["value"] == trials[best]["value"], "the trial's training, not another"
    assert not (tmp_path / f"trials/rotation-x{best}").exists() and not list(tmp_path.glob("trials/*/checkpoints"))
    assert result["methods"]["random"]["rate"]["trials"].keys() == {"1"}

    text = comparison.format_comparison(result)
    lines = text.splitlines()
    assert lines[1].endswith("rate") and "rate: a multiple of the recipe's, the best one on held-out" in text
    assert next(line for line in lines if line.startswith("rotation")).endswith(f"x {best}")
    values = [f"{trials[name]['value']:.1f}" for name in ("1", "0.3")]
    assert [line.split() for line in lines[-2:]] == [["x", "1", "x", "0.3"], ["rotation", *values]]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<th>learning rate</th>" in page and f"<td>x {best}</td>" in page
    assert "Learning rates that were tried" in page and "<th>x 0.3</th>" in page

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("**/*.json*") if path.name != "compare.json"}
    again = comparison.compare(*arguments, seeds=2, budget=BUDGET, trials=2, num_values=50)
    assert again["methods"] == result["methods"]
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing is trained again"
    with pytest.raises(UserError, match="received another trials"):
        comparison.compare(*arguments, budget=BUDGET, num_values=50)


@pytest.mark.slow
def test_too_high_a_rate_is_an_answer(reds_and_blues: str, tmp_path: Path) -> None:
    wild = CONFIG.replace(**{"training.autoencoder_learning_rate": 1e30})
    result = comparison.compare(wild, reds_and_blues, tmp_path, ["autoencoder"], budget=BUDGET, trials=2, num_values=50)
    assert result["methods"] == {} and list(result["failed"]) == ["autoencoder-0"]
    trial = json.loads((tmp_path / "trials/autoencoder-x1.json").read_text())
    assert trial["value"] is None and "must stay finite" in trial["says"]
