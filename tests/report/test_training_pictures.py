"""The slider through the picture grids of each stage."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.report.example import rendered
from tests.support.browser import print_page, screenshot
from tf_spot.report import report
from tf_spot.report.training_pictures import FRAMES, pictures, spread
from tf_spot.visualization.pictures import save_png


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


def test_a_single_picture_needs_no_slider(new_run) -> None:
    save_png(new_run.picture_path("spotter", 7), np.zeros((9, 9, 3), np.uint8))
    html = rendered(pictures(new_run))
    assert "after epoch 7" in html and "<input" not in html


@pytest.mark.slow
def test_the_slider_moves_through_the_epochs(new_run, tmp_path) -> None:
    """Red, green, blue: the last is shown, without a script too; the slider at its start shows the first."""
    for epoch, colour in enumerate(np.eye(3) * 255, start=1):
        save_png(new_run.picture_path("spotter", epoch), np.broadcast_to(colour, (200, 200, 3)).astype(np.uint8))
    whole, moved, bare = report(new_run.path), tmp_path / "moved.html", tmp_path / "bare.html"
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
