"""Cached results of an evaluation."""

from __future__ import annotations

from pathlib import Path

from tf_spot.evaluation.result_cache import ResultCache


def test_results_are_kept_by_what_they_depend_on(tmp_path: Path) -> None:
    calls: list[str] = []

    def work() -> dict[str, int]:
        calls.append("x")
        return {"n": len(calls)}

    first = ResultCache(tmp_path, {"seed": 0})
    assert first("a", work) == first("a", work) == ResultCache(tmp_path, {"seed": 0})("a", work) == {"n": 1}
    assert ResultCache(tmp_path, {"seed": 1})("a", work) == {"n": 2}
    assert first.resumed == 1
    first.forget()
    assert first("a", work) == {"n": 3}
