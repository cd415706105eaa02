"""`tf-spot neighbours`: its options and the line it prints per query."""

from pathlib import Path

import pytest

from tests.commands.example import Recorder
from tf_spot.cli import main

HITS = [{"path": "b.png", "similarity": 0.98765}, {"path": "c.png", "similarity": 0.5}]


@pytest.mark.usefixtures("empty_run")
def test_one_line_per_query(tmp_path, monkeypatch, capsys) -> None:
    search = Recorder({"queries": [{"query": "a.png", "learned": HITS, "random": []}]})
    monkeypatch.setattr("tf_spot.inference.neighbours.neighbours", search)
    words = ["--query", "a.png", "--out", str(tmp_path), "--count", "2", "--layer", "conv2", "--seed", "5"]
    assert main(["neighbours", "RUN", "--data", "photos", *words]) == 0
    assert search.received("photos", [Path("a.png")], tmp_path, 2, "conv2", 5)
    assert capsys.readouterr().out == "a.png: b.png 0.988, c.png 0.500\n"


def test_a_query_is_required(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["neighbours", "RUN", "--data", "photos", "--out", str(tmp_path)])
    assert "--query" in capsys.readouterr().err
