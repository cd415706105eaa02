"""The Python of docs/fine-tune.md runs, from its first line to its last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from tests.support.untrained_run import write_run

PAGE = Path(__file__).parent.parent / "docs" / "fine-tune.md"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")  # Keras warns of its own default for every dataset
def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with an untrained run and photos of two classes; nothing of the page is changed."""
    write_run(tmp_path / "runs" / "mine")
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for label in ("ant", "bee"):
            (tmp_path / "photos" / split / label).mkdir(parents=True)
            for number in range(count):
                photo = Image.fromarray(random.integers(0, 256, (40, 48, 3), np.uint8))
                photo.save(tmp_path / "photos" / split / label / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    there: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), there)
    photos = random.integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(there["loaded"](photos), there["model"](photos), rtol=1e-4, atol=1e-5)
    assert there["other"](photos).shape == (3, 2) and isinstance(there["features"], keras.Model)
