"""The script that lets everything go wrong: how it judges an end, damages a file, and counts."""

from __future__ import annotations

import random
import runpy
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[2] / "studies"


@pytest.fixture(scope="module")
def faults():
    return runpy.run_path(str(STUDIES / "faults.py"))


@pytest.fixture(scope="module")
def verbs(faults):
    return sys.modules["fault_verbs"]


@pytest.mark.parametrize(
    ("code", "stderr", "says"),
    [
        (0, "embedding photos: 3/3\n", None),
        (2, "tf_spot: a warning\ntf-spot: a mistake\n", None),
        (1, "tf-spot: not foreseen: KeyError\n", "exit code 1"),
        (2, "Traceback (most recent call last):\nKeyError\n", "a trace"),
        (2, "a mistake\n", "no line that tells"),
        (2, "tf-spot: a \x1b[31mred mistake\n", "no line that tells"),
        (2, "", "no line that tells"),
        (-1, "", "exit code -1"),
        (None, "", "hung"),
    ],
)
def test_an_end_is_judged_by_its_code_and_its_line(verbs, code, stderr, says) -> None:
    wrong = verbs.Outcome(code, stderr).wrong(0, 2)
    assert wrong is None if says is None else says in wrong


def test_half_written_files_are_found(verbs, tmp_path: Path) -> None:
    for name in (".writing-a.json", ".aside-3", ".lock", "a.json", ".a.npz.parts"):
        (tmp_path / name).touch()
    assert sorted(verbs.leftovers(tmp_path, tmp_path / "absent")) == [".aside-3", ".lock", ".writing-a.json"]


def test_a_file_is_damaged_in_many_ways(faults) -> None:
    content = b'{"a": 1, "b": [2]}\n'
    chance = random.Random(0)
    made = {faults["damaged"](content, chance) for _ in range(200)}
    assert len(made) > 20 and {b"", b"[]\n", b"{}\n"} <= made
    assert faults["damaged"](b"", chance) == b"\0"


def test_the_table_counts(faults) -> None:
    tally = sys.modules["fault_world"].Tally()
    tally.add("train", None)
    tally.add("embed\x1b", "hung")
    row = tally.row(pictures=3)
    assert row == {"tried": 2, "held": 1, "failed": ["embed\\x1b: hung"], "pictures": 3}
    assert faults["table"]({"rows": {"kills": row}}).splitlines()[1].split() == ["kills", "2", "1", "1"]
