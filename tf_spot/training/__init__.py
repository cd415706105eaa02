"""The training of a run: both stages, recorded and resumable."""

from __future__ import annotations

from types import ModuleType

from tf_spot.lazy import submodule


def __getattr__(name: str) -> ModuleType:
    return submodule("tf_spot.training", name)
