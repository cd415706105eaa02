"""Keras' backend, and TensorFlow's first lines."""

import json
import os
import subprocess
import sys
from types import ModuleType

import pytest

from tf_spot import startup
from tf_spot.errors import UserError
from tf_spot.startup import require_tensorflow


@pytest.fixture
def no_keras(monkeypatch, tmp_path) -> None:
    """As in a process that has not imported Keras, and without settings of the user."""
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


def test_the_default_is_tensorflow(no_keras) -> None:
    require_tensorflow()


@pytest.mark.parametrize("content", ["{", "{}", '{"backend": "tensorflow"}'])
def test_broken_settings_are_the_default_as_for_keras(content, no_keras, tmp_path) -> None:
    (tmp_path / "keras.json").write_text(content)
    require_tensorflow()


def test_the_environment_comes_before_the_file(no_keras, tmp_path, monkeypatch) -> None:
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
    with pytest.raises(UserError, match="keras.json"):
        require_tensorflow()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    require_tensorflow()
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(UserError, match="'torch' from the environment variable KERAS_BACKEND"):
        require_tensorflow()


def test_a_keras_that_is_loaded_decides(monkeypatch) -> None:
    keras = ModuleType("keras")
    keras.config = type("config", (), {"backend": staticmethod(lambda: "jax")})
    monkeypatch.setitem(sys.modules, "keras", keras)
    with pytest.raises(UserError, match="already imported"):
        require_tensorflow()


def test_only_start_up_lines_of_tensorflow_are_dropped(capfd) -> None:
    """Those of C++ go to the file descriptor, past sys.stderr; other lines are shown when it is loaded."""

    def load(module: ModuleType) -> None:
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
        os.write(2, b"I0000 00:00:1795763089.279671 23849 port.cc:153] oneDNN custom operations are on.\n")
        os.write(2, b"Important: mine\n")

    startup._without_start_up(load, ModuleType("any"))
    assert capfd.readouterr().err == "Important: mine\n"


def test_stderr_is_whole_after_a_failed_import(capfd) -> None:
    def load(module: ModuleType) -> None:
        os.write(2, b"a reason\n")
        raise ImportError("no CUDA")

    with pytest.raises(ImportError, match="no CUDA"):
        startup._without_start_up(load, ModuleType("any"))
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "a reason\nafter\n"


def test_importing_keras_after_this_package_writes_nothing() -> None:
    """TensorFlow's C++ would, whatever TF_CPP_MIN_LOG_LEVEL is; notebooks show it above their first output."""
    done = subprocess.run([sys.executable, "-c", "import tf_spot, keras"], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
