"""The notebooks run, with fewer steps; as they are committed they have their outputs, and nothing of one machine."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import runpy
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
import pytest
from PIL import Image

from tests.support.messages import messages
from tf_spot.startup import START_UP

FOLDER = Path(__file__).parent.parent / "notebooks"
RUN = runpy.run_path(str(FOLDER / "run.py"))
TEXTS = sorted(FOLDER.glob("[0-9]_*.py"))
MOST_BYTES = 400_000  # of a notebook: GitHub and Colab open it at once
MESSAGES = messages(FOLDER.parent / "tf_spot")
PLACES = re.compile(r"/(?:tmp|home|root|work|usr)/|/Users/")  # of one machine

each = pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)


def committed(path: Path) -> Any:
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures(notebook: Any) -> list[bytes]:
    found = [output.get("data", {}).get("image/png") for output in outputs(notebook)]
    return [base64.b64decode(picture) for picture in found if picture]


def test_there_are_seven() -> None:
    assert [path.name[0] for path in TEXTS] == list("1234567")
    assert {path.stem for path in TEXTS} == {path.stem for path in FOLDER.glob("*.ipynb")}


@each
def test_both_forms_are_the_same(path: Path) -> None:
    text, notebook = jupytext.read(path), committed(path)
    assert [(cell.cell_type, cell.source) for cell in text.cells] == [
        (cell.cell_type, cell.source) for cell in notebook.cells
    ], f"run: python notebooks/run.py {path.name[0]}"


@each
def test_every_cell_ran_in_order_and_without_an_error(path: Path) -> None:
    notebook = committed(path)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not [output for output in outputs(notebook) if output.output_type == "error"]


@each
def test_outputs_are_pictures_and_words_alone(path: Path) -> None:
    """No log lines but this package's own warnings, and no path of the machine that ran it."""
    notebook = committed(path)
    errors = [output.text for output in outputs(notebook) if output.get("name") == "stderr"]
    logged = [line for text in errors for line in text.splitlines()]
    assert [line for line in logged if not any(pattern.fullmatch(line) for pattern in MESSAGES)] == []
    words = json.dumps([output.get("text") or output.get("data", {}).get("text/plain") for output in outputs(notebook)])
    assert not PLACES.search(words) and not START_UP.search(words.encode()) and " at 0x" not in words


@each
def test_pictures_are_there_and_files_are_small(path: Path) -> None:
    found = pictures(committed(path))
    assert found and max(map(len, found)) <= RUN["MOST_OF_A_PICTURE"]
    assert path.with_suffix(".ipynb").stat().st_size <= MOST_BYTES


@each
def test_the_first_cell_of_code_imports_the_package_before_tensorflow(path: Path) -> None:
    first = next(cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code")
    imported = re.findall(r"^import (\w+)", first, re.MULTILINE)
    assert imported[-1] == "tf_spot" and not {"keras", "tensorflow"} & set(imported)


@pytest.mark.parametrize(("side", "fewest", "most"), [(40, 200, 256), (400, 2, 8)])
def test_a_picture_gets_as_many_colours_as_there_is_room_for(side: int, fewest: int, most: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format="PNG")
    with Image.open(io.BytesIO(base64.b64decode(RUN["smaller"](base64.b64encode(file.getvalue()).decode())))) as small:
        assert small.size == (side, side)
        assert fewest <= len(small.getcolors() or ()) <= most


def test_times_of_cells_are_not_kept() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", metadata={"execution": {"iopub": "x"}})])
    notebook.metadata["kernelspec"] = {"name": "python3"}
    cell = RUN["cleaned"](notebook).cells[0]
    assert cell.metadata == {} and cell.id == "0"


@pytest.mark.slow
@each
def test_it_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The executed notebook is kept under TF_SPOT_PICTURES if that is set."""
    for name in ("MPLBACKEND", "PYTHONPATH"):  # both are set by `executed`
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setenv("TF_SPOT_QUICK", "1")
    notebook = RUN["executed"](path)
    assert pictures(notebook)
    kept = os.environ.get("TF_SPOT_PICTURES")
    if kept:
        nbformat.write(notebook, Path(kept) / f"{path.stem}.ipynb")
