"""The page: whole, self-contained, harmless, and saying what the run folder says."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import screenshot
from PIL import Image

from tf_spot.charts import CHARTS, draw
from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.pictures import save_png
from tf_spot.report import PICTURES, report
from tf_spot.runs import Run, write_json
from tf_spot.spot import spot_files
from tf_spot.training import build_autoencoder, build_spotter

CONFIG = preset("tiny").replace(**{"network.width": 0.125, "network.fc_units": 8, "training.batch_size": 4})
DATA = {"spec": "folder:x", "name": "<i>set</i>", "fingerprint": "0", "counts": {"train": 3}}
HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"
VOID = {"img", "meta", "br"}


class Page(HTMLParser):
    """Tags in order, their attributes, the visible text; complains of tags that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if "style" not in self.open:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def result(value: float, **more: object) -> dict:
    rival = {"method": "x", "value": 0.0, "by_layer": {"conv1": 1.0, "conv2": 2.0}}
    encoding = {"method": "encoding", "value": 33.34, "by_layer": {"encoding": 33.34}}
    return {
        "method": "spot", "task": "linear", "data": "set", "metric": "accuracy", "unit": "percent", "stderr": 0.5,
        "value": value, "by_layer": {"conv1": 12.34, "conv2": value}, "train_images": 1234, "test_images": 99,
        "mask_auc": 0.8768, "rivals": {"random": rival | {"method": "random"}, "encoding": encoding},
    } | more  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder as a training, an evaluation and a spotting leave it; the weights are untrained."""
    run = Run.create(tmp_path_factory.mktemp("runs") / "<b>mine", CONFIG, DATA)
    for stage, names in (("autoencoder", ["reconstruction_loss"]), ("spotter", ["held_out_mask_auc", "mask_loss"])):
        for epoch in range(1, 11):
            line = {"stage": stage, "epoch": epoch, "step": 5 * epoch}
            run.add_metrics(line | dict.fromkeys(names, 1 / epoch))
            save_png(run.picture_path(stage, epoch), np.full((9, 9, 3), epoch, np.uint8))
    spotter = build_spotter(CONFIG, build_autoencoder(CONFIG))
    spotter.save(run.model_path("spotter"))
    write_json(run.path / "results" / "linear-set.json", result(56.78))
    photo = run.path / HOSTILE
    Image.new("RGB", (40, 30), "teal").save(photo)
    spot_files(spotter, [photo], run.path / "heat_maps")
    return run


@pytest.fixture(scope="module")
def text(run) -> str:
    return report(run.path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_nothing_is_fetched_and_nothing_runs(page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert attributes.get(name, "data:").startswith("data:")


def test_style_fetches_nothing(text) -> None:
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style and "@import" not in style


def test_names_from_outside_are_text(page) -> None:
    assert HOSTILE in page.text and "<b>mine" in page.text and "<i>set</i>" in page.text
    assert page.count("b") == page.count("i") == 0


def test_table_shows_the_results(page, text) -> None:
    for shown in ("12.3", "56.8", "33.3", "0.877", "1,234", "standard error 0.5"):
        assert shown in page.text
    (table,) = re.findall("<table><tr>.*?</table>", text)
    assert re.findall(r"<tr[^>]*><td>(.*?)</td>", table) == ["spot", "random", "encoding"]
    assert re.findall(r"<td>encoding</td>(.*?)</tr>", table) == ["<td></td><td></td><td>33.3</td>"]


def test_best_of_each_column_is_marked(text) -> None:
    assert re.findall(r"<td class=best>([\d.]*)</td>", text) == ["12.3", "56.8", "56.8"]


def test_what_was_recorded_is_drawn_and_explained(page) -> None:
    for chart in CHARTS:
        recorded = {"reconstruction_loss", "held_out_mask_auc", "mask_loss"} & set(chart.curves)
        assert (chart.healthy in page.text) == bool(recorded), chart.title


def test_pictures_are_spread_over_time(page) -> None:
    shown = [int(epoch) for epoch in re.findall(r"after epoch (\d+)", page.text)]
    assert shown == [1, 4, 7, 10] * 2
    assert len(shown) == 2 * PICTURES


def test_every_image_is_whole(page) -> None:
    """8 picture grids, 3 charts, the filters, a photo and its heat map."""
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 8 + 3 + 1 + 2
    assert sum(source.startswith("data:image/svg+xml;base64,") for source in sources) == 3
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")


def test_configuration_and_provenance_are_told(page, run) -> None:
    assert run.config.to_json().strip() in page.text
    assert json.loads((run.path / "versions.json").read_text())["python"] in page.text


def test_readable_on_a_phone(page) -> None:
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


def test_new_run_has_a_page_that_says_what_is_missing(tmp_path) -> None:
    run = Run.create(tmp_path / "new", CONFIG, DATA)
    page = Page(report(run.path).read_text(encoding="utf-8"))
    assert page.count("img") == 0
    for missing in ("evaluation yet", "Nothing recorded yet", "No pictures yet", "No heat maps yet", "No spotter yet"):
        assert missing in page.text


def test_heat_map_stays_when_its_photo_is_gone(run) -> None:
    photo = run.path / HOSTILE
    content = photo.read_bytes()
    photo.unlink()
    try:
        page = Page(report(run.path).read_text(encoding="utf-8"))
    finally:
        photo.write_bytes(content)
    assert page.count("img") == 8 + 3 + 1 + 1


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
