"""The tables of README and docs equal the result files, and the README's Python runs."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TABLES = runpy.run_path(str(ROOT / "studies" / "tables.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", TABLES["PAGES"], ids=lambda page: page.name)
def test_tables_are_generated_from_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert TABLES["render"](text) == text, "run: python studies/tables.py"
    written = [table for mark in TABLES["MARK"].finditer(text) for table in TABLES["tables"](mark[1])]
    assert text.count("```text") == len(written), "a table that no mark stands for"


def test_mask_figure_is_the_result_files() -> None:
    result = json.loads((ROOT / "results" / "linear-imagenette96.json").read_text(encoding="utf-8"))
    page = " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())
    assert f"area under the ROC curve of {result['mask_auc']:.2f}" in page
    assert f"{result['seconds'] / 60:.0f} minutes of training steps" in page


@pytest.mark.slow
def test_python_example_runs(tmp_path: Path) -> None:
    """Only the path of the photos and the number of steps are changed."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(60):
            photo = random.integers(0, 256, (80, 80, 3), np.uint8)
            Image.fromarray(photo).save(tmp_path / label / f"{i}.png")
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    for written, shorter in (("photos/", f"{tmp_path}/"), ("epochs=20, ", ""), ("epochs=5, ", ""), ("=100", "=1")):
        assert written in code
        code = code.replace(written, shorter)
    exec(compile(code, "README.md", "exec"), {})
