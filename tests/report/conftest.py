"""A run folder with everything that its page can show, and its page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.report.example import CONFIG, DATA, HOSTILE, result
from tests.support.html_page import Page
from tf_spot.inference.heat_map import spot_files
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.report import report
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json
from tf_spot.visualization.pictures import save_png


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 red and 20 blue photos to train on, with a little noise; half of them are held out."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, colour in (("a<b>red", (220, 30, 30)), ("blue", (30, 30, 220))):
        for i in range(21):
            noisy = np.array(colour) + random.integers(-20, 21, (20, 20, 3))
            path = folder / ("train" if i < 20 else "val") / name / f"{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy.astype(np.uint8)).save(path)
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> Run:
    """A run folder as a training, an evaluation, a spotting and a search leave it; the weights are untrained."""
    data = DATA | {"spec": f"folder:{photo_folder}"}
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


@pytest.fixture
def new_run(tmp_path: Path) -> Run:
    """A run that has not trained yet."""
    return Run.create(tmp_path / "new", CONFIG, DATA)


@pytest.fixture(scope="session")
def text(run: Run) -> str:
    return report(run.path).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(text: str) -> Page:
    return Page(text)
