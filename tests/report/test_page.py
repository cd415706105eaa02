"""The page: whole, self-contained, harmless, and saying what the run folder says."""

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.browser import print_page, screenshot
from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.inference.heat_map import spot_files
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.report import report
from tf_spot.report.heat_maps import heat_maps
from tf_spot.report.held_out_photos import held_out_photos
from tf_spot.report.tables import results
from tf_spot.report.training_pictures import FRAMES, pictures, spread
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json
from tf_spot.visualization.charts import CHARTS, draw
from tf_spot.visualization.pictures import save_png

CONFIG = preset("tiny").replace(
    **{
        "data.image_size": 16,
        "data.held_out_share": 0.5,
        "network.width": 0.125,
        "network.fc_units": 8,
        "training.batch_size": 4,
    }
)
DATA = {"spec": "folder:x", "name": "<i>set</i>", "fingerprint": "0", "counts": {"train": 3}}
HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"
VOID = {"img", "input", "meta", "br"}


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
        if not {"style", "script"} & set(self.open):
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def result(value: float, **more: object) -> dict:
    rival = {"method": "x", "value": 0.0, "by_layer": {"conv1": 1.0, "conv2": 2.0}}
    encoding = {"method": "encoding", "value": 33.34, "by_layer": {"encoding": 33.34}}
    return {
        "method": "spot", "task": "linear", "data": "set", "metric": "accuracy", "unit": "percent", "stderr": 0.5,
        "value": value, "best_layer": "conv2", "by_layer": {"conv1": 12.34, "conv2": value}, "train_images": 1234,
        "test_images": 99, "mask_auc": 0.8768, "rivals": {"random": rival | {"method": "random"}, "encoding": encoding},
    } | more  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """20 red and 20 blue photos to train on, with a little noise; half of them are held out."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, colour in (("a<b>red", (220, 30, 30)), ("blue", (30, 30, 220))):
        for i in range(21):
            noisy = np.array(colour) + random.integers(-20, 21, (20, 20, 3))
            path = folder / ("train" if i < 20 else "val") / name / f"{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy.astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, photos):
    """A run folder as a training, an evaluation, a spotting and a search leave it; the weights are untrained."""
    data = DATA | {"spec": f"folder:{photos}"}
    run = Run.create(tmp_path_factory.mktemp("runs") / "<b>mine", CONFIG, data)
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
    found = {"data": "set", "layer": "conv4", "queries": [{"query": f"x/{HOSTILE}"}]}
    write_json(run.path / "asked" / "neighbours.json", found)
    save_png(run.path / "asked" / "neighbours.png", np.zeros((9, 9, 3), np.uint8))
    return run


@pytest.fixture(scope="module")
def text(run) -> str:
    return report(run.path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_nothing_is_fetched(page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))


def test_nothing_runs_but_the_pages_own_script(page, text) -> None:
    """The browser itself holds to it: any other script has another digest."""
    ((_, attributes),) = [found for found in page.tags if found[0] == "script"]
    assert attributes == {}
    policy = dict(page.tags)["meta"]["content"]
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" == policy


def test_links_lead_to_sections(page) -> None:
    targets = [attributes["href"][1:] for tag, attributes in page.tags if tag == "a"]
    assert len(targets) == 8
    assert targets == [attributes["id"] for tag, attributes in page.tags if tag == "section"]


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


def test_a_slider_has_every_epoch(page, text) -> None:
    shown = [int(epoch) for epoch in re.findall(r"after epoch (\d+)</figcaption>", text)]
    assert shown == [*range(1, 11)] * 2
    sliders = [attributes for tag, attributes in page.tags if tag == "input"]
    assert [(slider["type"], slider["min"], slider["max"]) for slider in sliders] == [("range", "0", "9")] * 2
    assert all("hidden" in slider for slider in sliders), "without the script it would do nothing"


def test_a_long_training_is_spread_over_the_frames() -> None:
    paths = [Path(str(i)) for i in range(100)]
    shown = spread(paths, FRAMES)
    assert len(shown) == len(set(shown)) == FRAMES and (shown[0], shown[-1]) == (paths[0], paths[-1])
    assert spread(paths[:3], FRAMES) == paths[:3]


def test_every_image_is_whole(page) -> None:
    """20 grids, 3 charts, the filters, a photo and its heat map, 6 queries of 3 kinds, one asked for, the map."""
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 20 + 3 + 1 + 2 + 6 * 4 + 1 + 1
    assert sum(source.startswith("data:image/svg+xml;base64,") for source in sources) == 3
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")


def test_photos_that_were_held_out_are_shown(page) -> None:
    """The photos' digest is not that of the record, which the page tells."""
    assert "among 20 photos, held out of the training; they are not all the same as when it was trained." in page.text
    assert "raw pixels 100%" in page.text, "red photos are nearest to red ones, blue to blue"
    assert f"Among all photos of set, by conv4: the query, then its neighbours. 1: {HOSTILE}" in page.text
    assert "a<b>red" in page.text and "t-SNE" in page.text


def test_configuration_and_provenance_are_told(page, run) -> None:
    assert run.config.to_json().strip() in page.text
    assert json.loads((run.path / "versions.json").read_text())["python"] in page.text


def test_readable_on_a_phone(page) -> None:
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


def test_new_run_has_a_page_that_says_what_is_missing(tmp_path) -> None:
    run = Run.create(tmp_path / "new", CONFIG, DATA)
    page = Page(report(run.path).read_text(encoding="utf-8"))
    assert page.count("img") == 0
    for missing in ("evaluation yet", "Nothing recorded", "No pictures yet", "No heat maps", "RUN/neighbours"):
        assert missing in page.text
    assert page.text.count("No spotter yet") == 3


def test_photos_that_are_gone_are_told(run, tmp_path) -> None:
    other = Run.create(tmp_path / "run", CONFIG, DATA | {"spec": f"folder:{tmp_path}/<gone>"})
    says = held_out_photos(other, None)
    assert says.startswith("The photos of this run are not to be found from here") and "<gone>" in says


def test_heat_map_stays_when_its_photo_is_gone(run) -> None:
    photo = run.path / HOSTILE
    content = photo.read_bytes()
    assert heat_maps(run).count("<img") == 2
    photo.unlink()
    try:
        assert heat_maps(run).count("<img") == 1
    finally:
        photo.write_bytes(content)


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


def tables(run: Run, *found: dict) -> str:
    for number, figures in enumerate(found):
        write_json(run.path / "results" / f"{number}.json", figures)
    return results(run)


def rows(html: str) -> list[list[str]]:
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", html)]


def test_folds_are_shown_with_their_deviation(tmp_path) -> None:
    run = Run.create(tmp_path / "run", CONFIG, DATA)
    layers = {"conv1": 50.0, "finetuned": 60.04}
    spot = {
        "task": "stl10", "method": "spot", "data": "stl10", "metric": "accuracy", "unit": "percent", "value": 60.04,
        "best_layer": "finetuned", "by_layer": layers, "deviation": {"conv1": 0.5, "finetuned": 0.26}, "stderr": 0.1,
        "folds": {name: [value] * 10 for name, value in layers.items()}, "train_images": 1000, "test_images": 8000,
        "mask_auc": None,
    }  # fmt: skip
    random = spot | {"method": "random", "value": 52.0, "by_layer": {"conv1": 52.0, "finetuned": 51.0}}
    html = tables(run, spot | {"rivals": {"random": random}})
    assert rows(html) == [
        ["", "conv1", "finetuned", "best"],
        ["spot", "50.0 ± 0.5", "60.0 ± 0.3", "60.0"],
        ["random", "52.0 ± 0.5", "51.0 ± 0.3", "52.0"],
    ]
    assert re.findall(r"class=best>([^<]*)<", html) == ["60.0 ± 0.3", "60.0", "52.0 ± 0.5"]
    assert "Mean ± deviation over 10 folds" in html and "ROC" not in html


def test_classes_have_a_table_of_their_own(tmp_path) -> None:
    """Of several measures the first is shown, which is that of the headline; a class without photos has no figure."""
    run = Run.create(tmp_path / "run", CONFIG, DATA)
    spot = {
        "task": "voc-classification", "method": "spot", "data": "VOC2007", "metric": "mean average precision",
        "unit": "percent", "value": 45.0, "by_layer": {"11-point": 45.0, "area": 46.0}, "stderr": 0.4,
        "by_class": {"cat": {"11-point": 30.0, "area": 10.0}, "cow": {"11-point": None, "area": None}},
        "train_images": 5, "test_images": 6, "mask_auc": None,
    }  # fmt: skip
    random = spot | {"method": "random", "value": 40.0, "by_layer": {"11-point": 40.0, "area": 47.0}}
    random["by_class"] = {"cat": {"11-point": 20.0, "area": 90.0}, "cow": {"11-point": None, "area": None}}
    html = tables(run, spot | {"rivals": {"random": random}})
    assert rows(html) == [
        ["", "11-point", "area"], ["spot", "45.0", "46.0"], ["random", "40.0", "47.0"],
        ["", "spot", "random"], ["cat", "30.0", "20.0"], ["cow", "", ""],
    ]  # fmt: skip
    assert "Mean average precision in percent, standard error 0.4; 5 training and 6 test images" in html


def test_classes_of_segmentation_have_one_figure(tmp_path) -> None:
    run = Run.create(tmp_path / "run", CONFIG, DATA)
    spot = {"task": "voc-segmentation", "method": "spot", "data": "VOC2012", "metric": "x", "unit": "percent",
            "value": 25.0, "by_layer": {"finetuned": 25.0}, "by_class": {"cat": 31.0}, "stderr": 0.4}  # fmt: skip
    html = tables(run, spot | {"rivals": {"random": spot | {"by_class": {"cat": 32.0}}}})
    assert rows(html)[0] == ["", "finetuned"] and rows(html)[-1] == ["cat", "31.0", "32.0"]


def test_other_files_among_the_results_are_named(tmp_path) -> None:
    run = Run.create(tmp_path / "run", CONFIG, DATA)
    html = tables(run, {"task": "new", "method": "spot", "value": 3.14159}, ["?"])
    assert rows(html) == [["", "best"], ["spot", "3.1"]]
    assert "1.json is not a result of tf-spot evaluate" in html


@pytest.mark.slow
@pytest.mark.parametrize(("name", "width"), [("desk", 1200), ("phone", 390)])
def test_it_opens_in_a_browser_without_errors(run, tmp_path, name: str, width: int) -> None:
    """The picture is kept under TF_SPOT_PICTURES, if that is set, to be looked at."""
    picture = Path(os.environ.get("TF_SPOT_PICTURES", tmp_path)) / f"report-{name}.png"
    assert screenshot(report(run.path).resolve(), picture, width=width) == ""
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.std() > 10, "an empty page"


@pytest.mark.slow
def test_the_slider_moves_through_the_epochs(tmp_path) -> None:
    """Red, green, blue: the last is shown, without a script too; the slider at its start shows the first."""
    run = Run.create(tmp_path / "run", CONFIG, DATA)
    for epoch, colour in enumerate(np.eye(3) * 255, start=1):
        save_png(run.picture_path("spotter", epoch), np.broadcast_to(colour, (200, 200, 3)).astype(np.uint8))
    whole, moved, bare = report(run.path), tmp_path / "moved.html", tmp_path / "bare.html"
    move = "for (const slider of document.querySelectorAll('input')) { slider.value = 0; "
    move += "slider.dispatchEvent(new Event('input')); }"
    page = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", whole.read_text(encoding="utf-8"))
    moved.write_text(page.replace("</body>", f"<script>{move}</script></body>"), encoding="utf-8")
    bare.write_text(re.sub("<script>.*</script>", "", page, flags=re.DOTALL), encoding="utf-8")
    for name, path, seen in (("last", whole, 2), ("first", moved, 0), ("without script", bare, 2)):
        picture = tmp_path / f"{name}.png"
        assert screenshot(path.resolve(), picture) == ""
        pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
        areas = [int((np.abs(pixels - colour).max(axis=2) < 30).sum()) for colour in np.eye(3) * 255]
        assert [area > 30_000 for area in areas] == [colour == seen for colour in range(3)], (name, areas)
    assert print_page(whole.resolve(), tmp_path / "printed.pdf") == ""
    assert (tmp_path / "printed.pdf").read_bytes().count(b"/Subtype /Image") == 2, "the first and the last"


def test_a_single_picture_needs_no_slider(tmp_path) -> None:
    run = Run.create(tmp_path / "run", CONFIG, DATA)
    save_png(run.picture_path("spotter", 7), np.zeros((9, 9, 3), np.uint8))
    html = pictures(run)
    assert "after epoch 7" in html and "<input" not in html
