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
    """Stands first in `sys.meta_path` until its module is imported.

    To look for the module is not to import it: TensorFlow looks whether there is a Keras.
    """

    def __init__(self, name: str, around: Callable[[Load, ModuleType], None]) -> None:
        self.name = name
        self.around = around
        self.looking = False  # one that is asked while it asks leaves the module to the finders after it

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self.name or self.looking:
            return None
        self.looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.looking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._around_once)
        return spec

    def _around_once(self, load: Load, module: ModuleType) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            self.around(load, module)
        else:  # a spec that was found before the first import, and is loaded after it
            load(module)


class _Loader(importlib.abc.Loader):
    """Stands in for a loader, which is not changed, as it may be that of other modules too."""

    def __init__(self, loader: importlib.abc.Loader, around: Callable[[Load, ModuleType], None]) -> None:
        self.loader = loader
        self.around = around

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:  # from here on the module shows the loader that it would have
            module.__spec__.loader = module.__loader__ = self.loader
        self.around(self.loader.exec_module, module)
