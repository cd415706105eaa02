"""`tf-spot ablate`: the rows it trains, and the exit code of a table with failures."""

import pytest

from tests.commands.example import Recorder
from tf_spot.cli import main
from tf_spot.config import ABLATIONS


@pytest.fixture
def ablate(monkeypatch) -> Recorder:
    recorder = Recorder({"failed": {}})
    monkeypatch.setattr("tf_spot.experiments.ablation.ablate", recorder)
    monkeypatch.setattr("tf_spot.experiments.ablation.format_ablation", lambda result: "the table")
    return recorder


def test_all_rows_by_default(ablate, tmp_path, capsys) -> None:
    assert main(["ablate", "--data", "photos", "--out", str(tmp_path / "x")]) == 0
    assert ablate.received("photos", tmp_path / "x", list(ABLATIONS), 1, 9_000)
    assert capsys.readouterr().out == "the table\n"


def test_options_reach_the_table(ablate, tmp_path) -> None:
    words = ["--rows", "baseline,a", "--seeds", "3", "--num-values", "40", "--set", "game.drop_rate=0.3"]
    assert main(["ablate", "--data", "photos", "--out", str(tmp_path), "--preset", "tiny", *words]) == 0
    assert ablate.received(["baseline", "a"], 3, 40)
    assert [one.game.drop_rate for one in ablate.given if hasattr(one, "game")] == [0.3]


def test_failed_rows_are_an_exit_code(ablate, tmp_path) -> None:
    ablate.result = {"failed": {"a-0": "diverged"}}
    assert main(["ablate", "--data", "photos", "--out", str(tmp_path)]) == 1
