"""Tables of several trainings: ablation, comparison, search."""

from __future__ import annotations

from types import ModuleType

from tf_spot.lazy import submodule


def __getattr__(name: str) -> ModuleType:
    return submodule("tf_spot.experiments", name)
