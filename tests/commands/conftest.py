"""Photos and a trained run for the tests of subcommands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.example import SETS
from tf_spot.cli import main


@pytest.fixture(scope="session")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two classes of 15 photos to train on and 6 to test on."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for split, count in (("train", 15), ("test", 6)):
        for label, shade in (("dark", 60), ("light", 190)):
            (folder / split / label).mkdir(parents=True)
            for i in range(count):
                photo = np.clip(random.normal(shade, 40, (24, 24, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(photo).save(folder / split / label / f"{i}.png")
    return f"folder:{folder}"


@pytest.fixture
def empty_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RUN in the current folder, which has nothing but a configuration: what is called with it is a stand-in."""
    monkeypatch.chdir(tmp_path)
    Path("RUN").mkdir()
    Path("RUN", "config.json").write_text("{}")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, spec: str) -> Path:
    """A run folder that `tf-spot train` wrote."""
    run = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "--data", spec, "--out", str(run), "--preset", "tiny", *SETS]) == 0
    return run
