"""Modules as attributes of their package, imported when they are first used."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType


def submodule(package: str, name: str) -> ModuleType:
    """Import and return PACKAGE.NAME, for the package's `__getattr__`.

    Raises:
        AttributeError: there is no such module.
    """
    if name.startswith("_") or importlib.util.find_spec(f"{package}.{name}") is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return importlib.import_module(f"{package}.{name}")
