"""What a trained run is used for: embeddings, neighbours, heat maps."""

from __future__ import annotations

from types import ModuleType

from tf_spot.lazy import submodule


def __getattr__(name: str) -> ModuleType:
    return submodule("tf_spot.inference", name)
