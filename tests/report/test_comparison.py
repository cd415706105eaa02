"""The page of a comparison."""

import re

import numpy as np
import pytest

from tests.report.example import rows
from tests.support.html_page import Page
from tf_spot.report.comparison import LEAST_SPAN, draw, mean_curve, report_comparison

HOSTILE = "<script>alert('1')</script> \"&\""
LAYERS = {"conv1": 10.0, "conv5": 20.0}
CURVE = [{"images_seen": 4, "value": 10.0}, {"images_seen": 8, "value": 20.0}]


def method(value: float, by_layer: dict[str, float], stderr: float | None = None, curve: list | None = None) -> dict:
    return {
        "value": value, "stderr": stderr, "by_layer": by_layer, "stderr_by_layer": dict.fromkeys(by_layer, stderr),
        "images_seen": [8, 9], "seconds": [1000, 2000], "curves": [CURVE if curve is None else curve],
    }  # fmt: skip


@pytest.fixture
def result() -> dict:
    return {
        "methods": {
            "spot": method(20.0, LAYERS, 0.5),
            "autoencoder": method(30.0, {"e0": 40.0, "e1": 30.0}),
            HOSTILE: method(15.0, {"conv1": 15.0, "conv5": 12.0}, curve=CURVE[:1]),
        },
        "failed": {"jigsaw-0": HOSTILE},
        "config": {"preset": "tiny", "data": {"image_size": 16}, "note": HOSTILE},
        "data": {"name": HOSTILE, "counts": {"test": 10_000}}, "probe_values": 9000, "command": HOSTILE, "commit": None,
        "versions": {"python": "3"}, "machine": {"cpus": 2},
    }  # fmt: skip


def test_table_has_a_row_per_method_and_the_layers_they_share(result, tmp_path) -> None:
    html = report_comparison(tmp_path, result, "8 images").read_text(encoding="utf-8")
    table = rows(html.partition('<table class="facts">')[0])
    assert table[0] == ["", "conv1", "conv5", "own layers", "images", "seconds"]
    assert table[1] == ["autoencoder", "", "", "e0 40.0, e1 30.0", "8", "1,500"]
    assert table[2] == ["spot", "10.0 ± 0.5", "20.0 ± 0.5", "", "8", "1,500"], "in the order of conv5 or the last layer"
    assert html.count("<td class=best>") == 2 and html.count("<tr class=own>") == 1


def test_methods_that_are_level_are_both_marked(result, tmp_path) -> None:
    """10,000 photos at 20 %: an error of 0.4, with that of the seeds 0.6; one point is no lead."""
    result["methods"]["other"] = method(19.0, {"conv1": 1.0, "conv5": 19.0}, 0.5)
    html = report_comparison(tmp_path, result, "8 images").read_text(encoding="utf-8")
    assert re.findall("<td class=best>([^<]*)<", html) == ["20.0 ± 0.5", "19.0 ± 0.5", "15.0"]


def test_names_and_reasons_of_failures_are_text(result, tmp_path) -> None:
    path = report_comparison(tmp_path, result, "8 images")
    page = Page(path.read_text(encoding="utf-8"))
    assert path == tmp_path / "report.html"
    assert f"failed: jigsaw-0: {HOSTILE}" in page.text and f"3 methods on {HOSTILE}" in page.text
    assert page.count("script") == 1, "the page's own"
    assert [attributes["id"] for tag, attributes in page.tags if tag == "section"] == [
        "what-the-features-are-worth", "accuracy-by-layer-and-by-images-seen", "configuration-and-provenance",
    ]  # fmt: skip


def test_plots_have_a_curve_per_method(result) -> None:
    """A method of other layers is a horizontal line on the left, one of a single epoch a point on the right."""
    by_layer, by_images = draw(result).axes
    assert [container.get_label() for container in by_layer.containers] == ["spot", HOSTILE]
    assert "autoencoder (e1)" in [line.get_label() for line in by_layer.lines]
    curves = [line.get_ydata() for line in by_images.lines]
    assert [list(map(float, values)) for values in curves] == [[10.0, 20.0], [10.0, 20.0], [10.0]]
    assert by_images.lines[2].get_linestyle() == "-", "trained, in a single epoch"


def test_a_method_that_nothing_trains_is_a_dotted_line(result) -> None:
    result["methods"] = {"random": method(20.0, LAYERS, curve=CURVE[:1])}
    (line,) = draw(result).axes[1].lines
    assert line.get_linestyle() == ":" and list(map(float, line.get_ydata())) == [10.0, 10.0]


@pytest.mark.parametrize(
    ("layers", "label"),
    [((), "best layer"), (("conv5", "conv5"), "conv5"), (("conv5",), "conv5 or best layer")],
)
def test_curves_say_of_which_layer_they_are(result, layers, label) -> None:
    """Rows of earlier versions did not record it."""
    points = [{"images_seen": i, "value": 1.0} | ({"layer": layers[i]} if i < len(layers) else {}) for i in range(2)]
    result["methods"] = {"spot": method(20.0, LAYERS, curve=points)}
    assert draw(result).axes[1].get_ylabel() == f"{label}, held-out training labels, % right"


def test_curve_of_several_seeds_stops_with_the_shortest() -> None:
    other = [{"images_seen": 6, "value": 30.0}]
    assert mean_curve([CURVE, other]) == ([5.0], [20.0])
    assert mean_curve([CURVE]) == ([4.0, 8.0], [10.0, 20.0])
    assert np.shape(mean_curve([])) == (2, 0)


def test_small_differences_are_not_magnified(result) -> None:
    for metrics in result["methods"].values():
        metrics["by_layer"] = {"conv1": 50.0, "conv5": 50.1}
        metrics["stderr_by_layer"] = {"conv1": None, "conv5": None}
    low, high = draw(result).axes[0].get_ylim()
    assert high - low == pytest.approx(LEAST_SPAN) and (low + high) / 2 == pytest.approx(50.05, abs=0.1)


def test_twenty_one_methods_have_a_line_of_their_own_each(result) -> None:
    result["methods"] = {f"method{number}": method(20.0, LAYERS, 0.5) for number in range(21)}
    lines = [line for line in draw(result).axes[0].get_lines() if len(line.get_xdata()) == 2]
    looks = {(line.get_color(), line.get_linestyle()) for line in lines if line.get_linestyle() != "None"}
    assert len(looks) == 21
