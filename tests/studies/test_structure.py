"""The numbers of the structure, by hand, on a small made-up tree."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from studies import structure

FILES = {
    "tf_spot/__init__.py": '"""Face."""\n\nfrom tf_spot.data import load\n',
    "tf_spot/config.py": '"""Numbers."""\n\nSIZE = 3  # pixels\n',
    "tf_spot/data/__init__.py": '"""Data."""\n\nfrom tf_spot.data.images import load\n',
    "tf_spot/data/images.py": (
        '"""Images."""\n\n'
        "from typing import TYPE_CHECKING, Any\n\nimport numpy as np\n\n"
        "if TYPE_CHECKING:\n    from tf_spot import config\n\n\n"
        "def load(path: str, other: Any | None = None) -> np.ndarray:\n"
        '    """Return float32 (height, width, 3)."""\n'
        "    return np.zeros((2, 2, 3))  # noqa: S101\n\n\n"
        "def grey(image: np.ndarray, *rest: Any) -> np.ndarray:\n"
        '    """Return it in grey."""\n'
        "    return image\n\n\n"
        "def _inner(x: int) -> int:\n    return x\n"
    ),
    "tf_spot/train.py": (
        '"""Training."""\n\nimport tf_spot\nfrom tf_spot import __version__\nfrom tf_spot.config import SIZE\n\n\n'
        "def train() -> None:\n    import tf_spot.data.images\n"
    ),
    "tests/data/test_images.py": "",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_modules_go_by_their_dotted_names_and_packages_by_that_of_the_folder(tree: Path) -> None:
    assert set(structure.modules(tree)) == {"__init__", "config", "data", "data.images", "train"}
    assert structure.modules(tree)["data"] == tree / "tf_spot" / "data" / "__init__.py"


def test_imports_in_functions_and_for_type_checkers_count(tree: Path) -> None:
    """`from tf_spot import config` is the module, `__version__` nothing, and `import tf_spot` the face."""
    assert structure.imports(tree) == {
        "__init__": {"data"},
        "config": set(),
        "data": {"data.images"},
        "data.images": {"config"},
        "train": {"__init__", "config", "data.images"},
    }


def test_rooms_and_their_floors(tree: Path) -> None:
    rooms = structure.rooms(structure.imports(tree))
    assert rooms == {"__init__": {"data"}, "config": set(), "data": {"config"}, "train": {"__init__", "config", "data"}}
    assert structure.floors(rooms) == {"config": 1, "data": 2, "__init__": 3, "train": 4}
    assert structure.inside(structure.imports(tree), "data") == {"data": {"data.images"}, "data.images": set()}


def test_a_circle_is_named() -> None:
    with pytest.raises(ValueError, match="a circle of imports: b -> c -> b"):
        structure.floors({"a": {"b"}, "b": {"c"}, "c": {"b"}})


def test_the_diagram_leaves_out_arrows_that_others_imply(tree: Path) -> None:
    assert structure.essential(structure.rooms(structure.imports(tree))) == [
        ("__init__", "data"),
        ("data", "config"),
        ("train", "__init__"),
    ]
    lines = structure.mermaid(tree).splitlines()
    assert lines[0] == "graph TD"
    assert '    init["tf_spot"]' in lines and '    data["data/"]' in lines and '    config["config"]' in lines
    assert lines[-3:] == ["    init --> data", "    data --> config", "    train --> init"]


def test_the_numbers(tree: Path) -> None:
    numbers = structure.measure(tree)
    lines = sum(text.count("\n") for name, text in FILES.items() if name.startswith("tf_spot"))
    assert numbers["rooms"] == 4 and numbers["arrows"] == 5 and numbers["floors"] == 4
    assert numbers["files"] == 5 and numbers["files at the root"] == 3
    assert numbers["lines"] == lines
    assert numbers["longest function, lines"] == 3 and numbers["median function, lines"] == 2.5
    assert numbers["parameters that are Any, %"] == 40  # other and *rest, of five
    assert numbers["lines that are comments, %"] == round(100 / lines, 1)  # `# pixels`, not the noqa
    assert numbers["public functions with arrays that state a shape, %"] == 50  # load, not grey
    assert numbers["modules with a test of the same name, %"] == 33.3  # images, of config, images and train


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("Return (batch, 2).", True),
        ("Return float32 (photos, channels).", True),
        ("Return (values,) float64.", True),
        ("Return a scalar.", True),
        ("Return an array like `images`.", True),
        ("Return a 16x16 map.", True),
        ("Return the features (see above).", False),
        ("Return what it was given.", False),
    ],
)
def test_what_counts_as_a_shape(text: str, stated: bool) -> None:
    function = ast.parse(f'def f():\n    """{text}"""').body[0]
    assert structure._states_a_shape(function) is stated


def test_trees_are_printed_side_by_side_and_as_json(tree: Path) -> None:
    command = [sys.executable, structure.__file__, str(tree), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].split() == ["rooms", "4", "4"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [structure.measure(tree)] * 2
