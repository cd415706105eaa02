"""The script that takes precautions out: its table fits the source and the tests, and how it judges an end."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from functools import cache
from pathlib import Path

import pytest

from tf_spot.baselines import PRETEXTS

ROOT = Path(__file__).parents[2]
STUDY = runpy.run_path(str(ROOT / "studies" / "precautions.py"))
PRECAUTIONS = STUDY["PRECAUTIONS"]
NAMES = [f"{precaution.method}: {precaution.name}" for precaution in PRECAUTIONS]


@cache
def functions(file: str) -> set[str]:
    """Return the names of the functions of a file of tests."""
    return {node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("precaution", PRECAUTIONS, ids=NAMES)
def test_every_edit_fits_its_file_and_every_test_exists(precaution) -> None:
    edited = STUDY["without"]((ROOT / precaution.file).read_text(), precaution)
    ast.parse(edited)
    assert precaution.tests
    for test in precaution.tests:
        file, function = test.split("::")
        assert function in functions(file), test


def test_methods_with_precautions_on_their_page_are_in_the_table() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|[^|]+\| ([^|]*)\|", (ROOT / "docs" / "methods.md").read_text(), re.MULTILINE)
    on_page = {method for method, precautions in rows if precautions.strip()}
    assert on_page == {precaution.method for precaution in PRECAUTIONS} and len(set(NAMES)) == len(NAMES)
    assert {row[0] for row in rows} >= set(PRETEXTS)


def test_an_edit_that_does_not_fit_is_named() -> None:
    precaution = PRECAUTIONS[0]
    for source, times in (("", 0), (precaution.text * 2, 2)):
        with pytest.raises(ValueError, match=rf"{precaution.method}, {precaution.name}: \S+ has this {times} times"):
            STUDY["without"](source, precaution)


ENDS = """
import pytest

@pytest.fixture
def broken():
    assert False

@pytest.mark.parametrize("number", [1, 2])
def test_number(number):
    assert number == 1

def test_raises():
    with pytest.raises(ValueError):
        pass

def test_said():
    raise AssertionError("as numpy's")

def test_good(): pass
def test_setup(broken): pass
def test_other(): raise KeyError("assert ")
def test_skipped(): pytest.skip("not here")
"""


def test_a_failed_assertion_is_told_from_a_crash(tmp_path: Path) -> None:
    names = ("number", "raises", "said", "good", "setup", "other", "skipped")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_ends.py").write_text(ENDS)
    ids = {name: f"tests/test_ends.py::test_{name}" for name in names}
    with STUDY["Runner"](tmp_path, imported=()) as run:
        ends = run(tuple(ids.values()), 60)
        (tmp_path / "tests" / "test_ends.py").write_text("def test_good(:")
        unreadable = run((ids["good"],), 60)
        (tmp_path / "tests" / "test_ends.py").write_text("import time\ndef test_good(): time.sleep(60)")
        endless = run((ids["good"],), 2)
    assert {name: ends[ids[name]] for name in names} == {
        "number": "failed", "raises": "failed", "said": "failed", "good": "passed", "setup": "crashed",
        "other": "crashed", "skipped": "did not run"}  # fmt: skip
    assert unreadable == {ids["good"]: "did not run"} and endless == {ids["good"]: "hung"}


def test_a_test_that_is_not_there_did_not_run() -> None:
    assert STUDY["judge"]("<testsuites />", ("tests/test_a.py::test_b",)) == {"tests/test_a.py::test_b": "did not run"}


@pytest.mark.parametrize(
    ("before", "without", "held"),
    [
        ("passed", "failed", True),
        ("failed", "failed", False),
        ("passed", "passed", False),
        ("passed", "crashed", False),
    ],
)
def test_a_precaution_is_held_if_its_test_fails_without_it_alone(tmp_path, before, without, held) -> None:
    precaution = PRECAUTIONS[0]
    file = tmp_path / precaution.file
    file.parent.mkdir(parents=True)
    file.write_text(precaution.text)

    def run(tests):
        assert file.read_text() == precaution.instead
        return dict.fromkeys(tests, without)

    row = STUDY["tried"](tmp_path, precaution, dict.fromkeys(precaution.tests, before), run)
    assert row["held"] is held and file.read_text() == precaution.text
    line = STUDY["line"](row)
    assert ("NOT HELD" in line) is not held and (f"({before}, then {without})" in line) is not held


def test_the_table_counts() -> None:
    rows = [{"method": method, "held": held} for method, held in (("byol", True), ("lci", True), ("lci", False))]
    assert STUDY["table"]({"rows": rows}).splitlines()[1:] == [
        f"{'byol':<17}{1:>12}{1:>7}", f"{'lci':<17}{2:>12}{1:>7}", f"{'all':<17}{3:>12}{2:>7}"]  # fmt: skip


def test_without_a_fitting_edit_nothing_runs(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(STUDY["main"].__globals__, "ROOT", tmp_path)
    (tmp_path / PRECAUTIONS[0].file).parent.mkdir(parents=True)
    (tmp_path / PRECAUTIONS[0].file).touch()
    monkeypatch.setattr(sys, "argv", ["precautions.py"])
    with pytest.raises(ValueError, match="0 times, wanted once"):
        STUDY["main"]()
