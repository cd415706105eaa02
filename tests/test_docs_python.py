"""Every Python line of README and docs runs after `import tf_spot` alone.

Sizes and addresses are changed for speed. Long experiments are replaced by stand-ins that check their arguments.
"""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tf_spot
from tests.support.serving_process import Server
from tests.support.untrained_run import CONFIG, add_classifier, write_run
from tests.test_docs import PAGES, ROOT

SIZE = CONFIG.data.image_size
LONG = ("ablate", "compare", "train", "tune")
SHORTER = {
    "image_size=96": f"image_size={SIZE}",
    "image_size=64": f"image_size={SIZE}",
    "=100": "=1",
    "epochs=20": "epochs=1",
}
SHORTER |= {"epochs=5": "epochs=1", "batch_size=64": "batch_size=4", ", 64)": ", 4)"}


def indented_blocks(text: str) -> Iterator[str]:
    """Yield indented code outside of fences that is Python."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE):
        code = re.sub(r"^    ", "", block, flags=re.MULTILINE).strip("\n")
        try:
            statements = ast.parse(code).body
        except SyntaxError:  # commands, paths, diagrams
            continue
        if any(isinstance(one, ast.Import | ast.ImportFrom) for one in statements):
            yield code


def python_of(page: Path) -> list[str]:
    """Return the Python of a page: fenced and indented blocks, and calls within the text."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(?:python|py)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    calls = re.findall(r"`((?:tf_spot|keras)\.[\w.]+\((?!\.\.\.)[^`\n]*\))`", text)
    return [*fenced, *indented_blocks(text), *calls]


AS_A_WHOLE = "fine-tune.md"  # its blocks go on from one another, and test_fine_tune_page.py runs them so
CODES = [
    pytest.param(code, id=f"{page.name}:{code[:40]!r}")
    for page in PAGES
    if page.name != AS_A_WHOLE
    for code in python_of(page)
]


def test_the_python_is_found() -> None:
    assert len(CODES) >= 18
    assert "import tf_spot" in python_of(ROOT / "README.md")[0]
    assert any(code.startswith("tf_spot.tune(") for code in python_of(ROOT / "docs" / "tuning.md"))
    assert any("load_model" in code for code in python_of(ROOT / "docs" / "baselines.md"))


def photo(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages speak of: photos, a run, a backbone, features, a file of a model."""
    folder = tmp_path_factory.mktemp("world")
    random = np.random.default_rng(0)
    for label in ("ant", "bee"):
        (folder / "photos" / label).mkdir(parents=True)
        for index in range(40):
            pixels = random.integers(0, 256, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{index}.png")
    for run in ("RUN", "runs/mine"):
        (folder / run).parent.mkdir(exist_ok=True)
        add_classifier(write_run(folder / run))
    spotter = tf_spot.load_spotter(folder / "RUN")
    spotter.save(folder / "spotter.keras")
    (folder / "comparison" / "rotation-0").mkdir(parents=True)
    spotter.backbone.save(folder / "comparison" / "rotation-0" / "backbone.keras")
    tf_spot.embed(str(folder / "RUN"), f"folder:{folder / 'photos'}", str(folder / "features.parquet"))
    (folder / "photo.jpg").write_bytes(photo("JPEG"))
    return folder


@pytest.fixture(scope="module")
def server(world: Path) -> Iterator[Server]:
    tf_spot.export_saved_model(tf_spot.load_spotter(world / "RUN"), world / "served")
    started = Server(world / "served" / "features", "--label", "stable=1")
    yield started
    started.stop()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
@pytest.mark.parametrize("code", CODES)
def test_it_runs(
    code: str, world: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    policy = keras.config.dtype_policy()
    for name in LONG:
        monkeypatch.setattr(tf_spot, name, create_autospec(getattr(tf_spot, name)))
    monkeypatch.setattr(tf_spot.inference.embed_beam, "embed", create_autospec(tf_spot.inference.embed_beam.embed))
    for written, shorter in SHORTER.items():
        code = code.replace(written, shorter)
    if "Client(" in code:
        server = request.getfixturevalue("server")
        code = code.replace("http://127.0.0.1:8501", server.url).replace("127.0.0.1:8500", server.target)
    try:
        exec(compile(code, "page", "exec"), names(code, tmp_path))
    finally:
        keras.config.set_dtype_policy(policy)


def names(code: str, tmp_path: Path) -> dict[str, Any]:
    """Return what a block takes as given: nothing that it imports or makes itself."""
    images = tf.random.stateless_uniform((8, SIZE, SIZE, 3), (0, 1), -1.0, 1.0).numpy()
    given: dict[str, Any] = {
        "tf_spot": tf_spot,
        "config": CONFIG,
        "RUN": "RUN",
        "SPEC": "folder:photos",
        "path": str(tmp_path / "exported"),
        "images": images,
    }
    given |= {"jpeg_bytes": photo("JPEG"), "png_bytes": photo("PNG")}
    if "(spotter, path" in code:
        given["spotter"] = tf_spot.load_spotter("RUN")
    return given
