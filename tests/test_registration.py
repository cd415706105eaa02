"""`import tf_spot` is enough for Keras to open a saved model, and loads neither Keras nor TensorFlow itself."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import tf_spot
from tests.models.test_spotter import make
from tf_spot.registration import PACKAGE, REGISTERED, RENAMED

ROOT = Path(__file__).parent.parent


def run(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_every_registered_class_is_listed_with_its_module() -> None:
    for module in pkgutil.walk_packages(tf_spot.__path__, "tf_spot."):
        if not module.name.endswith(("__main__", "run_artifact")):
            importlib.import_module(module.name)
    classes = {
        name: one for name, one in keras.saving.get_custom_objects().items() if one.__module__.startswith("tf_spot.")
    }
    listed = {f"{PACKAGE}>{name}": module for module, names in REGISTERED.items() for name in names}
    listed |= {f"{PACKAGE}>{name}": module for name, (module, _) in RENAMED.items()}
    assert {name: one.__module__.removeprefix("tf_spot.") for name, one in classes.items()} == listed
    assert all(hasattr(one, "get_config") for one in classes.values()), (
        "a stand-in is left: its module has no such class"
    )


@pytest.mark.parametrize(
    "first",
    [
        "import tf_spot, keras",
        "import tf_spot, tensorflow, keras",
        "import keras, tf_spot",
        "import keras.saving, tf_spot",
    ],
)
def test_a_saved_model_opens_after_import_tf_spot_alone(tmp_path: Path, first: str) -> None:
    spotter = make(history_batches=2)
    spotter.compile()
    spotter.save(tmp_path / "spotter.keras")
    code = (
        f"{first}, sys\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "print(type(model).__module__, type(model) is tf_spot.ArtifactSpotter, model.compiled)"
    )
    assert run(code, str(tmp_path / "spotter.keras")) == "tf_spot.models.spotter True True"


def test_the_import_itself_stays_light() -> None:
    code = "import sys, tf_spot; print(sorted({'keras', 'tensorflow', 'numpy'} & set(sys.modules)))"
    assert run(code) == "[]"


def test_importing_keras_imports_no_network() -> None:
    code = "import sys, tf_spot, keras; print([name for name in sys.modules if name.startswith('tf_spot.models')])"
    assert run(code) == "[]"


def test_every_name_of_the_reference_is_an_attribute_after_import_tf_spot_alone() -> None:
    entries = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    moved = [
        "tf_spot.tuning.tune",
        "tf_spot.ablation.ablate",
        "tf_spot.comparing.compare",
        "tf_spot.embedding_beam.embed",
    ]
    code = (
        "import functools, sys, tf_spot\n"
        "for entry in sys.argv[1:]: functools.reduce(getattr, entry.split('.')[1:], tf_spot)\n"
        "print(tf_spot.tuning.tune is tf_spot.tune, tf_spot.comparing.compare is tf_spot.compare)"
    )
    assert run(code, *entries, *moved) == "True True"


@pytest.mark.parametrize("name", ["nothing", "models.nothing", "evaluation.nothing", "_private"])
def test_what_is_not_there_is_an_attribute_error(name: str) -> None:
    package, _, last = f"tf_spot.{name}".rpartition(".")
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute '{last}'"):
        getattr(importlib.import_module(package), last)
