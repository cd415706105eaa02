"""The page of a run: whole, self-contained, and with everything that the run folder has."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.report.example import HOSTILE
from tests.support.browser import screenshot
from tests.support.html_page import Page
from tf_spot.errors import UserError
from tf_spot.report import report
from tf_spot.runs.load import load_backbone
from tf_spot.storage.files import write_json
from tf_spot.visualization.charts import CHARTS, draw


def test_nothing_is_fetched(page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))


def test_links_lead_to_sections(page) -> None:
    targets = [attributes["href"][1:] for tag, attributes in page.tags if tag == "a"]
    assert len(targets) == 8
    assert targets == [attributes["id"] for tag, attributes in page.tags if tag == "section"]


def test_names_from_outside_are_text(page) -> None:
    assert HOSTILE in page.text and "<b>mine" in page.text and "<i>set</i>" in page.text
    assert page.count("b") == page.count("i") == 0


def test_what_was_recorded_is_drawn_and_explained(page) -> None:
    for chart in CHARTS:
        recorded = {"reconstruction_loss", "held_out_mask_auc", "mask_loss"} & set(chart.curves)
        assert (chart.healthy in page.text) == bool(recorded), chart.title


def test_every_image_is_whole(page) -> None:
    """20 grids, 3 charts, the filters, a photo and its heat map, 6 queries of 3 kinds, one asked for, the map."""
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 20 + 3 + 1 + 2 + 6 * 4 + 1 + 1
    assert sum(source.startswith("data:image/svg+xml;base64,") for source in sources) == 3
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")


def test_configuration_and_provenance_are_shown(page, run) -> None:
    assert run.config.to_json().strip() in page.text
    assert json.loads((run.path / "versions.json").read_text())["python"] in page.text


def test_new_run_has_a_page_that_says_what_is_missing(new_run) -> None:
    page = Page(report(new_run.path).read_text(encoding="utf-8"))
    assert page.count("img") == 0
    for missing in ("evaluation yet", "Nothing recorded", "No pictures yet", "No heat maps", "RUN/neighbours"):
        assert missing in page.text
    assert page.text.count("No spotter yet") == 3


def test_row_of_a_comparison_has_the_page_of_its_backbone(new_run, run) -> None:
    """Its own task is drawn, and its photos are found; "No spotter yet" would be wrong."""
    load_backbone(run.path).backbone.save(new_run.model_path("backbone"))
    write_json(new_run.path / "result.json", {"method": "rotation", "images_seen": 640, "seconds": 1.5})
    write_json(new_run.path / "data.json", run.data)
    for epoch in (1, 2):
        new_run.add_metrics({"stage": "rotation", "epoch": epoch, "step": 5 * epoch, "pretext_accuracy": epoch / 4})
    page = Page(report(new_run.path).read_text(encoding="utf-8"))
    assert "Accuracy at its own task" in page.text and "Loss of its own task" not in page.text
    assert "among 20 photos" in page.text and "No spotter yet" not in page.text
    assert page.count("img") == 1 + 6 * 4 + 1 + 1, "the chart, 6 queries of 3 kinds, the map, the filters"


def test_warnings_stand_above_the_curves(new_run) -> None:
    line = {"stage": "spotter", "step": 5, "epoch": 5, "held_out_psnr": 20.0}
    new_run.add_metrics(line | {"held_out_unrepaired_distance": 0.1, "held_out_repaired_distance": 0.2})
    text = Page(report(new_run.path).read_text(encoding="utf-8")).text
    blur, harm = text.index("Warning: the autoencoder's copies"), text.index("Warning: the repair makes damage easier")
    assert blur < harm < text.index("Healthy: repaired falls well below unrepaired")


def test_other_folder_is_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="config.json"):
        report(tmp_path)


def test_chart_leaves_out_what_was_not_measured() -> None:
    """null in metrics.jsonl: no probe in that epoch, or not finite."""
    chart = next(chart for chart in CHARTS if chart.curves == ("effective_rank",))
    lines = [{"stage": "spotter", "step": step, "effective_rank": None} for step in (1, 2)]
    assert draw(chart, lines) is None
    assert draw(chart, [*lines, {"stage": "spotter", "step": 3, "effective_rank": 4.0}]) is not None
    assert draw(chart, [{"stage": "autoencoder", "step": 3, "effective_rank": 4.0}]) is None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "width"), [("desk", 1200), ("phone", 390)])
def test_it_opens_in_a_browser_without_errors(run, tmp_path, name: str, width: int) -> None:
    """The picture is kept under TF_SPOT_PICTURES, if that is set, to be looked at."""
    picture = Path(os.environ.get("TF_SPOT_PICTURES", tmp_path)) / f"report-{name}.png"
    assert screenshot(report(run.path).resolve(), picture, width=width) == ""
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.std() > 10, "an empty page"
