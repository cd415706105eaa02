"""Charts as data URIs: what is drawn of the recorded metrics, and that a chart is always the same."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tf_spot.visualization.charts import CHARTS, Chart, draw, jpeg, png, svg

CHART = Chart("Losses", "spotter", ("realness_loss", "mask_loss"), "Healthy: falls.")
LINES = [
    {"stage": "spotter", "step": step, "realness_loss": 1 / step, "mask_loss": None, "knn_accuracy": 0.5}
    for step in (10, 20, 30)
]


def content(uri: str, kind: str) -> bytes:
    head, _, body = uri.partition(",")
    assert head == f"data:image/{kind};base64"
    return base64.b64decode(body)


def text(uri: str | None) -> str:
    assert uri is not None
    return content(uri, "svg+xml").decode()


def test_only_recorded_curves_are_drawn() -> None:
    found = text(draw(CHART, LINES))
    assert "realness loss" in found and "mask loss" not in found


def test_nothing_recorded_is_no_chart() -> None:
    assert draw(CHART, []) is None
    assert draw(CHART, [line | {"stage": "autoencoder"} for line in LINES]) is None
    assert draw(CHART, [line | {"realness_loss": None} for line in LINES]) is None


def test_the_same_metrics_give_the_same_chart_and_others_another() -> None:
    assert draw(CHART, LINES) == draw(CHART, LINES)
    assert draw(CHART, LINES) != draw(CHART, LINES[:2])


def test_scales() -> None:
    plain, log = (text(draw(CHART._replace(log_scale=scale), LINES)) for scale in (False, True))
    assert not re.search(r"10\^\{", plain) and re.search(r"10\^\{", log)
    share = text(draw(CHART._replace(between_0_and_1=True), LINES))
    assert "<!-- 1.0 -->" in share and "<!-- 0.0 -->" in share


def test_every_chart_has_a_stage_curves_and_a_word_on_what_is_healthy() -> None:
    for chart in CHARTS:
        assert chart.stage in ("autoencoder", "spotter") and chart.curves
        assert chart.healthy.startswith("Healthy: ")


def test_figures_hold_no_time() -> None:
    assert "<dc:date>" not in text(svg(Figure()))


def test_png_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    with Image.open(io.BytesIO(content(png(Image.fromarray(pixels)), "png"))) as found:
        np.testing.assert_array_equal(np.asarray(found), pixels)


@pytest.mark.parametrize(("size", "expected"), [((400, 200), (100, 50)), ((30, 60), (30, 60))])
def test_jpeg_is_shrunk_but_never_enlarged(size: tuple[int, int], expected: tuple[int, int]) -> None:
    picture = Image.new("RGBA", size, "olive")
    with Image.open(io.BytesIO(content(jpeg(picture, 100), "jpeg"))) as found:
        assert found.size == expected and found.mode == "RGB"
    assert picture.size == size


def ticks(uri: str | None) -> set[float]:
    """Return the numbers at the axes."""
    found = re.findall(r"<!-- ([\d.\N{MINUS SIGN}]+) -->", text(uri))
    return {float(number.replace("\N{MINUS SIGN}", "-")) for number in found}


def test_an_axis_covers_what_its_chart_asks_for() -> None:
    """Else a curve that is flat but for noise would fill it."""
    lines = [{"stage": "spotter", "step": step, "flat": 0.1 + 0.001 * step} for step in (1, 2, 3)]
    chart = Chart("Flat", "spotter", ("flat",), "Healthy: flat.")
    assert not {-4.0, 4.0} & ticks(draw(chart, lines))
    assert {-4.0, 4.0} <= ticks(draw(chart._replace(at_least=(-5.0, 5.0)), lines))


def test_words_are_large_enough_for_a_desk() -> None:
    """Points of a drawing that is shown in its own size: the legend is no smaller than the rest."""
    sizes = {float(size) for size in re.findall(r"scale\((0\.\d+) -", text(draw(CHART, LINES)))}
    assert min(sizes) >= 0.09
