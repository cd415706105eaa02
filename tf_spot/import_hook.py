"""Do something around the first import of a module, whichever module asks for it."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

Load = Callable[[ModuleType], None]  # runs the code of a module that is still empty


def around_import(name: str, around: Callable[[Load, ModuleType], None]) -> None:
    """Call `around(load, module)` when module `name` is first imported; without effect if it is imported already.

    Args:
        name: of a top-level module such as `keras`.
        around: must call `load(module)`, once.
    """
    if name not in sys.modules:
        sys.meta_path.insert(0, _Finder(name, around))


class _Finder(importlib.abc.MetaPathFinder):
    """Stands first in `sys.meta_path` until its module is looked for."""

    def __init__(self, name: str, around: Callable[[Load, ModuleType], None]) -> None:
        self.name = name
        self.around = around

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)  # so that `find_spec` below asks the finders after this one
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: self.around(load, module)  # type: ignore[method-assign]
        return spec
