"""The table of a search as text and as a plot."""

from __future__ import annotations

from typing import Any

from tf_spot.experiments.search_results import draw, format_search


def row(name: str, rate: float, value: float) -> dict[str, Any]:
    return {"trial": name, "values": {"game.drop_rate": rate}, "objective": value, "stderr": 0.5, "runs": []}


def test_the_plot_has_the_papers_five_points() -> None:
    rows = [row("1", 0.5, 60.0), row("0", 0.1, 50.0)]
    result = {"data": "d", "metric": "probe", "unit": "percent", "says": "s", "trials": rows, "failed": {"2": "why"}}
    ours, paper = draw(result).axes
    assert list(ours.lines[0].get_xdata()) == [0.1, 0.5] and list(ours.lines[0].get_ydata()) == [50.0, 60.0]
    assert list(paper.lines[0].get_xdata()) == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert list(paper.lines[0].get_ydata()) == [70.92, 76.26, 79.94, 81.06, 79.60]
    assert format_search(result).splitlines()[1:] == [
        "     1    60.000 ± 0.50  drop_rate 0.5",
        "     0    50.000 ± 0.50  drop_rate 0.1",
        "failed: 2: why",
    ]


def test_a_trial_of_one_seed_has_the_error_of_its_probe() -> None:
    rows = [row("0", 0.5, 60.0) | {"stderr": None, "runs": [{"stderr": 1.5}]}]
    result = {"data": "d", "metric": "probe", "unit": "percent", "says": "s", "trials": rows, "failed": {}}
    ours, _ = draw(result).axes
    (bars,) = ours.containers[0][2]
    assert bars.get_segments()[0].tolist() == [[0.5, 58.5], [0.5, 61.5]]
    assert format_search(result).splitlines()[1] == "     0    60.000 ± 1.50  drop_rate 0.5"
