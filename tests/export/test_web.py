"""The page that shows a photo's heat map, in Chromium, beside ONNX Runtime in Python."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tf_spot
from tests.inference.test_heat_map import spotter  # noqa: F401 (the fixture)
from tests.support import browser

ROOT = Path(__file__).parents[2]
SIZE = 32
PLAYWRIGHT = "playwright-core@1.65.1"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's folder with what npm installs."""
    web = tmp_path_factory.mktemp("web")
    for name in ("index.html", "app.js", "package.json"):
        shutil.copy(ROOT / "export" / "web" / name, web)
    shutil.copy(ROOT / "tests" / "support" / "web_page.mjs", web)
    for words in (["npm", "install"], ["npm", "install", "--no-save", PLAYWRIGHT]):
        done = subprocess.run([*words, "--no-audit", "--no-fund"], cwd=web, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    return web


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the model's own size, so that nobody resizes it."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    path = tmp_path_factory.mktemp("photo") / "photo <b>.png"
    Image.fromarray(coarse).resize((SIZE, SIZE)).save(path)
    return path


def visit(folder: Path, url: str, photo: Path, picture: Path, *blocked: str) -> dict[str, Any]:
    no_photo = picture.with_name("notes.png")
    no_photo.write_text("no picture")
    command = ["node", "web_page.mjs", url, browser.chromium(), str(photo), str(no_photo), str(picture), *blocked]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_score_and_heat_map_are_those_of_python(spotter, folder, address, photo, tmp_path) -> None:  # noqa: F811
    import onnxruntime

    model = folder / "model"
    manifest = tf_spot.export_onnx(spotter, model, part="spotter")
    session = onnxruntime.InferenceSession(str(model / manifest["artifact"]), providers=["CPUExecutionProvider"])
    pixels = np.asarray(Image.open(photo), np.float32)[None]
    score, heat_map = session.run(["artifact_score", "heat_map"], {"images": pixels})

    seen = visit(folder, address, photo, tmp_path / "page.png")
    assert seen["errors"] == []
    for way in ("byInput", "byDrop"):
        assert seen[way]["score"] == pytest.approx(float(score[0]), abs=1e-3)
        assert seen[way]["grid"] == list(heat_map.shape[1:])
        np.testing.assert_allclose(seen[way]["heatMap"], heat_map.ravel(), atol=1e-3)
    assert "notes.png is not a picture" in seen["noPhoto"] and seen["answerHidden"]
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.width == 390 and len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize(("blocked", "says"), [("ort.wasm", "npm install"), ("threaded.wasm", "could not start it")])
def test_a_runtime_that_does_not_come_is_told(spotter, folder, address, photo, tmp_path, blocked, says) -> None:  # noqa: F811
    if not (folder / "runtime").is_dir():
        tf_spot.export_onnx(spotter, folder / "runtime", part="spotter")
    seen = visit(folder, address + "?model=runtime", photo, tmp_path / "none.png", blocked)
    assert says in seen["first"]


def test_a_missing_model_and_another_part_are_told(spotter, folder, address, photo, tmp_path) -> None:  # noqa: F811
    seen = visit(folder, address + "?model=nowhere", photo, tmp_path / "none.png")
    assert "nowhere/manifest.json is missing (404)" in seen["first"] and "tf-spot export" in seen["first"]
    tf_spot.export_onnx(spotter, folder / "features")
    seen = visit(folder, address + "?model=features", photo, tmp_path / "part.png")
    assert "wants the part spotter as ONNX; received: features, onnx" in seen["first"]
