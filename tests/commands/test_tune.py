"""`tf-spot tune`: the search's options, what it prints, and its exit code."""

import pytest

from tests.commands.example import Recorder
from tf_spot.cli import main


@pytest.fixture
def tune(monkeypatch) -> Recorder:
    recorder = Recorder({"failed": {}})
    monkeypatch.setattr("tf_spot.experiments.tuning.tune", recorder)
    monkeypatch.setattr("tf_spot.experiments.tuning.format_search", lambda result: "the table")
    return recorder


def test_options_reach_the_search(tune, tmp_path, capsys) -> None:
    words = ["--space", "drop_rate,width", "--oracle", "random", "--trials", "4", "--seeds", "2"]
    words += ["--objective", "mask_auc", "--num-values", "40", "--strategy", "none", "--autoencoder", "other"]
    assert main(["tune", "--data", "photos", "--out", str(tmp_path), *words]) == 0
    assert tune.received("photos", tmp_path, ["drop_rate", "width"], "random", 4, 2, "mask_auc", 40, "none")
    assert capsys.readouterr().out == f"the table\nbest recipe: {tmp_path / 'config.json'}\n"


def test_defaults(tune, tmp_path) -> None:
    assert main(["tune", "--data", "photos", "--out", str(tmp_path)]) == 0
    assert tune.received(["drop_rate"], "grid", None, 1, 2_048, "auto")


def test_a_worker_prints_no_table(tune, tmp_path, capsys) -> None:
    """The chief of a search on several machines prints it."""
    tune.result = {"worker": 1}
    assert main(["tune", "--data", "photos", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_failed_trials_are_an_exit_code(tune, tmp_path) -> None:
    tune.result = {"failed": {"0001": "diverged"}}
    assert main(["tune", "--data", "photos", "--out", str(tmp_path)]) == 1
