"""The paper's tables on the page of a run."""

from __future__ import annotations

from tests.report.example import HOSTILE, rendered, result, rows
from tf_spot.report.published import published_tables
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json


def section(run: Run, *contents: object) -> str:
    for number, content in enumerate(contents):
        write_json(run.path / "results" / f"{number}.json", content)
    return rendered(published_tables(run))


def test_tables_are_folded_below_the_result_of_the_same_task(new_run: Run) -> None:
    html = section(new_run, result(56.78))
    assert html.count("<details>") == html.count("</details>") == 1 and html.count("<table>") == 2
    assert "<summary>Published beside linear on set</summary>" in html and "not one ranking" in html
    head, ours, papers, random, *_ = rows(html)
    assert head == ["", "conv1", "conv2", "conv3", "conv4", "conv5", "here"]
    assert ours == ["yours, on set", "12.3", "56.8", "", "", "", "spot"]
    assert papers == ["spot", "19.5", "33.3", "37.9", "38.9", "34.9", "spot"] and random[0] == "random"
    assert len(rows(html)) == 2 * 2 + 11 + 14 and html.count("<tr class=own>") == 2


def test_other_tasks_and_other_files_have_none(new_run: Run) -> None:
    assert section(new_run, result(1.0, task="knn"), {"task": "linear"}, [1], {"task": ["linear"], "value": 1}) == ""


def test_names_from_outside_are_text(new_run: Run) -> None:
    html = section(new_run, result(1.0, data=HOSTILE))
    assert "<img" not in html and "&lt;img" in html


def test_a_run_without_results_has_none(new_run: Run) -> None:
    assert published_tables(new_run) == []
