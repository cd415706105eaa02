"""The notebooks run, with fewer steps; their two forms are equal and have no outputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
TEXTS = sorted(FOLDER.glob("*.py"))


def test_there_are_seven() -> None:
    assert [path.name[0] for path in TEXTS] == list("1234567")
    assert {path.stem for path in TEXTS} == {path.stem for path in FOLDER.glob("*.ipynb")}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_both_forms_are_the_same_and_without_outputs(path: Path) -> None:
    text, notebook = jupytext.read(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert [(cell.cell_type, cell.source) for cell in text.cells] == [
        (cell.cell_type, cell.source) for cell in notebook.cells
    ], "run: jupytext --to ipynb notebooks/*.py"
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


@pytest.mark.slow
@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The executed notebook is kept under TF_SPOT_PICTURES if that is set."""
    monkeypatch.setenv("TF_SPOT_QUICK", "1")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as in a notebook, not as in tests
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent), prepend=os.pathsep)
    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=3600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    assert any(_pictures(cell) for cell in notebook.cells)
    kept = os.environ.get("TF_SPOT_PICTURES")
    if kept:
        nbformat.write(notebook, Path(kept) / f"{path.stem}.ipynb")


def _pictures(cell: Any) -> list[str]:
    return [output.data["image/png"] for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
