"""The rules of the house that a reader relies on: imports go strictly down, and nothing heavy is loaded early."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from studies import structure

ROOT = Path(__file__).parent.parent
GRAPH = structure.imports(ROOT)
MOST_FLOORS = 13
LIGHT = "import sys, tf_spot; tf_spot.{name}; print(sorted(name for name in sys.modules if name.startswith({heavy!r})))"


def test_rooms_stand_on_floors() -> None:
    """No two rooms import each other, however long the way round, and the house stays low."""
    assert max(structure.floors(structure.rooms(GRAPH)).values()) <= MOST_FLOORS


@pytest.mark.parametrize("room", sorted({structure.room(module) for module in GRAPH}))
def test_files_of_a_room_stand_on_floors(room: str) -> None:
    assert structure.floors(structure.inside(GRAPH, room))


def test_the_architecture_page_shows_the_imports_there_are() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (diagram,) = re.findall("```mermaid\n(.*?)\n```", page, re.DOTALL)
    assert diagram == structure.mermaid(ROOT), "run: python studies/structure.py --mermaid"


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_the_pages_name_every_room(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    folders = {structure.room(name) for name in structure.modules(ROOT) if "." in name}
    assert [name for name in sorted(folders) if f"`{name}/`" not in text] == []


def test_a_circle_is_found() -> None:
    with pytest.raises(ValueError, match="a -> b -> a"):
        structure.floors({"a": {"b"}, "b": {"a"}})


@pytest.mark.parametrize("name", ["load_spotter", "load_classifier", "load_autoencoder"])
def test_loading_a_model_imports_no_trainer(name: str) -> None:
    heavy = ("tf_spot.training", "tf_spot.distributed.strategies", "tf_spot.data", "tensorboard")
    code = LIGHT.format(name=name, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", GRAPH)
def test_every_module_says_what_it_is(name: str) -> None:
    path = structure.modules(ROOT)[name]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert path.stem not in ("utils", "helpers", "common")
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level], "relative import"


def test_help_is_quick_and_light() -> None:
    """Measured as CPU time of the child, as wall time depends on what else runs."""
    code = (
        "import sys, time, tf_spot, tf_spot.cli\n"
        "try: tf_spot.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "print(sorted(heavy), time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, seconds = done.stdout.splitlines()[-1].rsplit(" ", 1)
    assert heavy == "[]"
    assert float(seconds) < 0.5


@pytest.mark.parametrize("origin", ["environment", "file"])
def test_another_backend_is_refused(origin: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment["KERAS_HOME"] = str(tmp_path)
    if origin == "environment":
        environment["KERAS_BACKEND"] = "jax"
    else:
        (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    code = "import tf_spot\ntry: tf_spot.Autoencoder\nexcept tf_spot.UserError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "'jax'" in done.stdout
    assert "KERAS_BACKEND=tensorflow" in done.stdout


def test_the_command_line_refuses_another_backend(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tf_spot", "report", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": "jax"})
    assert done.returncode == 2
    assert "'jax'" in done.stderr and "Traceback" not in done.stderr
