"""Contestants take turns in a rotating order; one that fails is an error."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

TURNS = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "take_turns.py"))


def test_a_child_that_fails_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="(?s)ended with 3.*broken"):
        TURNS["child"]([sys.executable, "-c", "import sys; sys.stderr.write('broken'); sys.exit(3)"])


def test_contestants_take_turns_in_a_rotating_order(tmp_path: Path) -> None:
    code = (
        "import sys\nprint('{}', flush=True)\n"
        "for line in sys.stdin:\n"
        f"    open({str(tmp_path / 'order')!r}, 'a').write(sys.argv[1] + line.split()[0] + ' ')\n"
        """    print('{"images_per_second": 5}', flush=True)\n"""
    )
    with TURNS["started"]({name: [sys.executable, "-c", code, name] for name in "ab"}) as contestants:
        found = TURNS["take_turns"](contestants, 2, 0.1, (1, 32))
    assert found == {name: {"1": [5, 5], "32": [5, 5]} for name in "ab"}
    assert (tmp_path / "order").read_text().split() == "a1 a32 b1 b32 b1 b32 a1 a32".split()


def test_a_contestant_that_ends_is_an_error() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('broken')"]
    with pytest.raises(RuntimeError, match="(?s)ended.*broken"), TURNS["started"]({"a": command}):
        pass


EACH = """
import sys
sys.path.insert(0, {folder!r})
from take_turns import answer_each

def prepare(described):
    if described["images"] == 0:
        raise MemoryError("too small\\nto be told")
    return lambda: described["images"]

answer_each(prepare, device="a card")
"""


def test_one_contestant_does_many_kinds_of_work_and_survives_one_that_fails() -> None:
    code = EACH.format(folder=str(Path(__file__).parents[2] / "benchmarks"))
    with TURNS["started"]({"a": [sys.executable, "-c", code]}) as contestants:
        one = contestants["a"]
        assert one.ready["device"] == "a card"
        replies = [one.ask(json.dumps({"images": images, "seconds": 0.0})) for images in (4, 0, 4)]
    first, failed, again = replies
    assert first["images_per_second"] > 0 and first["first_seconds"] >= 0
    assert failed == {"error": "MemoryError: too small"}
    assert "first_seconds" not in again and again["images_per_second"] > 0


def test_a_contestant_has_the_environment_that_it_is_given() -> None:
    code = """import json, os; print(json.dumps({"seen": os.environ.get("ONLY_HERE")}), flush=True); input()"""
    environments = {"a": {"ONLY_HERE": "yes"}}
    with TURNS["started"]({name: [sys.executable, "-c", code] for name in "ab"}, environments) as contestants:
        assert {name: one.ready["seen"] for name, one in contestants.items()} == {"a": "yes", "b": None}
