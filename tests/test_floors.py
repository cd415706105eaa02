"""The rules of the house that a reader relies on: imports go strictly down, and nothing heavy is loaded early."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tf_spot"

# From the ground up. A module may import those of lower floors, and of its own folder. `tf_spot` itself (the version)
# is open to all.
FLOORS = (
    ("errors", "hardware"),
    (
        "adam",
        "backend",
        "cluster",
        "config",
        "convolutions",
        "layers",
        "losses",
        "distribution",
        "fitting",
        "recompute",
    ),
    ("backbones",),
    ("micro_batches", "networks", "history", "data", "runs", "strategies", "checkpoints", "progress", "health"),
    ("ahead", "autoencoder", "doctor", "packing", "rescaling"),
    ("spotter", "gan", "pictures", "projector"),
    ("callbacks", "authors"),
    ("stages",),
    ("finetuning", "training"),
    ("baselines", "embedding", "evaluation", "exporters", "serving", "spot"),
    ("charts", "embedding_beam", "neighbours", "results"),
    ("report",),
    ("ablation", "comparing", "protocols", "tuning"),
    ("demo",),
    ("commands",),
    ("cli",),
    ("__main__", "__init__"),
)
BESIDE = {  # within one floor: who may import whom
    "baselines": {"evaluation"},
    "embedding": {"evaluation", "exporters"},
    "exporters": {"evaluation"},
    "fitting": {"config"},
    "adam": {"layers"},
    "layers": {"convolutions", "distribution"},
    "losses": {"distribution"},
    "checkpoints": {"runs"},
    "gan": {"spotter"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """The file's first name below the package: `data` for tf_spot/data/folder.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tf_spot":
            parts = node.module.split(".")
            names = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
            found |= {name for name in names if name != "__version__"}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    here = room(path)
    assert here in floor, f"tf_spot/{here} has no floor: add it to FLOORS"
    for target in imported_rooms(path) - {here}:
        assert target in floor, f"{path} imports tf_spot.{target}, which has no floor"
        beside = target in BESIDE.get(here, ())
        assert floor[target] < floor[here] or beside, f"{here} must not import {target}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert path.stem not in ("utils", "helpers", "common")
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]


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
