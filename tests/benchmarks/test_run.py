"""Ratios, what `--check` reports, and the entry `before` of a new file."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

RUN = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "run.py"))


def test_a_ratio_that_fell_by_more_than_a_tenth_and_a_limit_that_is_exceeded_are_named() -> None:
    committed = {"ratios": {"a": 1.0, "b": 1.0, "c": 1.0}}
    now = {"part": "x", "ratios": {"a": 0.91, "b": 0.89}, "limits": {"s": 2, "t": 2}, "s": 1.9, "t": 2.1}
    assert RUN["failures"](committed, now) == [
        "x: b: 0.89 now, 1.0 committed",
        "x: t: 2.1 now, the limit is 2",
    ]


def test_a_ratio_that_could_not_be_taken_is_said_to_be_so_and_is_no_failure() -> None:
    committed = {"ratios": {"ours / torch": 1.3, "ours / product": 0.9}}
    now = {"part": "x", "ratios": {"ours / product": 0.9}}
    assert RUN["not_measured"](committed, now) == ["x: ours / torch: not measured now, 1.3 committed"]
    assert RUN["failures"](committed, now) == []


def test_a_check_measures_what_has_ratios_or_limits() -> None:
    assert set(RUN["PARTS"]) - set(RUN["chosen"](None, check=True)) == {"growth", "profile"}
    assert RUN["chosen"](None, check=False) == list(RUN["PARTS"])
    assert RUN["chosen"](["growth"], check=False) == ["growth"]
    with pytest.raises(SystemExit, match="growth: no ratios or limits to compare; run without --check"):
        RUN["chosen"](["growth", "features"], check=True)


def test_ratios_are_kept_by_processor_and_else_compared_with_a_like_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instructions, _, rest = RUN["kind"]().partition("-")
    assert instructions in ("float32", "bfloat16") and rest == RUN["processor"]()
    for name, value in (("RESULTS", tmp_path), ("kind", lambda: "float32-amd-9-9")):
        monkeypatch.setitem(RUN["committed_file"].__globals__, name, value)
    with pytest.raises(SystemExit, match="on a processor like this one, float32-amd-9-9, are committed"):
        RUN["committed_file"]("features")
    for name in ("bfloat16", "float32-amd-1-1", "float32"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "features.json").touch()
    assert RUN["committed_file"]("features").parent.name == "float32"
    (tmp_path / "float32-amd-9-9").mkdir()
    (tmp_path / "float32-amd-9-9" / "features.json").touch()
    assert RUN["committed_file"]("features").parent.name == "float32-amd-9-9"


def test_ours_is_compared_with_the_best_of_the_same_precision_and_with_the_best_of_all() -> None:
    rates = {"ours, float32": [12.0], "ours, bfloat16": [18.0]}
    torch = {"torch, float32": [8.0], "torch, float32, channels last": [10.0], "torch, bfloat16": [20.0]}
    assert RUN["ratios_to_torch"](rates | torch) == {
        "ours, float32 / torch, float32": 1.2,
        "our best / torch's best": 0.9,
    }
    assert RUN["ratios_to_torch"](rates) == {}


def test_a_ratio_is_the_median_of_those_within_a_round() -> None:
    """The machine is slow in the second round, and in half of the third one."""
    assert RUN["ratio"]([12.0, 6.0, 6.0], [10.0, 5.0, 10.0]) == 1.2


def test_a_rerun_keeps_the_ratios_of_the_run_before(tmp_path: Path) -> None:
    file = tmp_path / "part.json"
    assert RUN["ratios_before"](file) == {}
    file.write_text('{"ratios": {"a": 1.5}, "commit": "c", "rates": 3, "before": {"ratios": {"a": 9}}}')
    assert RUN["ratios_before"](file) == {"before": {"ratios": {"a": 1.5}, "commit": "c"}}
