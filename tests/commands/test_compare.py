"""`tf-spot compare`: methods, budget, and the exit code of a table with failures."""

import pytest

from tests.commands.example import Recorder
from tf_spot.baselines import METHODS
from tf_spot.cli import main
from tf_spot.experiments.comparison import Budget


@pytest.fixture
def compare(monkeypatch) -> Recorder:
    recorder = Recorder({"failed": {}})
    monkeypatch.setattr("tf_spot.experiments.comparison.compare", recorder)
    monkeypatch.setattr("tf_spot.experiments.comparison.format_comparison", lambda result: "the table")
    return recorder


def test_all_methods_by_default(compare, tmp_path, capsys) -> None:
    assert main(["compare", "--data", "photos", "--out", str(tmp_path / "x")]) == 0
    assert compare.received("photos", tmp_path / "x", list(METHODS), Budget(None, None), 1, 9_000)
    assert capsys.readouterr().out == "the table\n"


@pytest.mark.parametrize(
    ("words", "budget"),
    [(["--budget-images", "40"], Budget(images=40)), (["--budget-seconds", "1.5"], Budget(seconds=1.5))],
)
def test_options_reach_the_table(words, budget, compare, tmp_path) -> None:
    words = ["--methods", "spot,random", "--seeds", "2", "--num-values", "40", *words]
    assert main(["compare", "--data", "photos", "--out", str(tmp_path), *words]) == 0
    assert compare.received(["spot", "random"], 2, 40, budget)


def test_one_budget_only(compare, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--data", "x", "--out", str(tmp_path), "--budget-images", "4", "--budget-seconds", "4"])
    assert "not allowed with" in capsys.readouterr().err


def test_failed_methods_are_an_exit_code(compare, tmp_path) -> None:
    compare.result = {"failed": {"spot-0": "diverged"}}
    assert main(["compare", "--data", "photos", "--out", str(tmp_path)]) == 1
