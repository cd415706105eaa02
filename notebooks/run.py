"""Run the notebooks on the bundled photos and keep their outputs: python notebooks/run.py [1 2 ...]

The cells come from `N_name.py`; `N_name.ipynb` gets them with what they printed and drew. Pictures are stored in few
colours, so that the files stay small, and nothing is stored that only holds on this machine: times, paths.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parent
MOST_OF_A_PICTURE = 60_000  # bytes
COLOURS = (256, 128, 64, 32, 16, 8, 4)
SECONDS = 3_600  # of a cell at most


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", nargs="*", help="of the notebooks to run; by default all")
    numbers = parser.parse_args(arguments).numbers
    for path in sorted(FOLDER.glob("[0-9]_*.py")):
        if not numbers or path.name[0] in numbers:
            print(path.stem, flush=True)
            nbformat.write(cleaned(executed(path)), path.with_suffix(".ipynb"))


def executed(path: Path) -> Any:
    """Return the notebook of `path` after all cells ran, in a kernel of its own and a folder that is removed.

    Raises:
        CellExecutionError: a cell failed.
    """
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(FOLDER.parent), os.environ.get("PYTHONPATH")]))
    notebook = jupytext.read(path)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
    return notebook


def cleaned(notebook: Any) -> Any:
    """Return `notebook` with small pictures, and without the times at which its cells ran."""
    for index, cell in enumerate(notebook.cells):
        cell.metadata.pop("execution", None)
        cell["id"] = str(index)  # else random
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    return notebook


def smaller(picture: str) -> str:
    """Return a PNG in base64 with as many colours as fit into `MOST_OF_A_PICTURE`."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as opened:
        pixels = opened.convert("RGB")
    for colours in COLOURS:
        file = io.BytesIO()
        pixels.quantize(colours, dither=Image.Dither.NONE).save(file, format="PNG", optimize=True)
        if file.tell() <= MOST_OF_A_PICTURE:
            break
    return base64.b64encode(file.getvalue()).decode("ascii")


if __name__ == "__main__":
    main()
