"""The packages that each format needs, to be written and to be run."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

from tf_spot.errors import UserError
from tf_spot.storage.provenance import version_of


class Package(NamedTuple):
    """A package as pip and as Python call it."""

    name: str
    module: str


class Needs(NamedTuple):
    """What a format needs beside TensorFlow."""

    extra: str  # of tf-spot, which installs it
    run: tuple[Package, ...] = ()
    write: tuple[Package, ...] = ()  # beside those that run it


NEEDS = {
    "saved_model": Needs(
        extra="serving",
        write=(Package("tensorflow-serving-api", "tensorflow_serving"),),  # for the warm-up requests
    ),
    "tflite": Needs(extra="litert", run=(Package("ai-edge-litert", "ai_edge_litert"),)),
    "onnx": Needs(
        extra="onnx",
        run=(Package("onnxruntime", "onnxruntime"),),
        write=(Package("onnx", "onnx"), Package("tf2onnx", "tf2onnx")),
    ),
}


def require(format: str, *, write: bool) -> None:
    """Check that the packages of a format are installed, before any work is done.

    Args:
        format: `saved_model`, `tflite` or `onnx`.
        write: the packages that write the format are needed too, not only those that run it.

    Raises:
        UserError: a package is missing.
    """
    needs = NEEDS[format]
    for package in needs.run + (needs.write if write else ()):
        if importlib.util.find_spec(package.module) is None:
            raise UserError(f"{format} needs {package.name}, which is missing; run pip install tf-spot[{needs.extra}]")


def versions(format: str) -> dict[str, str | None]:
    """Return the installed versions of the packages that run and write a format, beside TensorFlow."""
    needs = NEEDS[format]
    return {package.name: version_of(package.name) for package in needs.run + needs.write}
