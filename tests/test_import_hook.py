"""What is done around the first import of a module."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from tf_spot.import_hook import Load, around_import

NAME = "module_of_this_test"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / f"{NAME}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    return NAME


def test_it_is_called_once_around_the_first_import(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    finders = list(sys.meta_path)
    seen = []

    def around(load: Load, loaded: ModuleType) -> None:
        before = hasattr(loaded, "value")
        load(loaded)
        seen.append((before, loaded.value))

    around_import(module, around)
    importlib.import_module("json.tool")  # another module is left to the other finders
    importlib.import_module(module)
    assert seen == [(False, 1)] and sys.meta_path == finders
    monkeypatch.delitem(sys.modules, module)
    importlib.import_module(module)
    assert len(seen) == 1


def test_to_look_for_a_module_is_not_to_import_it(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow looks for Keras while it is imported itself."""
    finders, seen = list(sys.meta_path), []
    around_import(module, lambda load, loaded: (load(loaded), seen.append(loaded.__name__)))
    found = [importlib.util.find_spec(module) for _ in range(2)]
    assert not seen and len(sys.meta_path) == len(finders) + 1
    importlib.import_module(module)
    assert seen == [module] and sys.meta_path == finders
    late = importlib.util.module_from_spec(found[0])
    found[0].loader.exec_module(late)
    assert late.value == 1 and seen == [module], "the first import alone is the one"


def test_two_may_wait_for_two_modules_of_which_one_imports_the_other(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}_outer.py").write_text(f"import {NAME}\n")
    order = []
    for name in (NAME, f"{NAME}_outer"):
        around_import(name, lambda load, loaded: (load(loaded), order.append(loaded.__name__)))
    importlib.import_module(f"{NAME}_outer")
    del sys.modules[f"{NAME}_outer"]
    assert order == [NAME, f"{NAME}_outer"]


def test_a_module_that_is_imported_already_is_left_alone() -> None:
    finders = list(sys.meta_path)
    around_import("json", lambda load, loaded: pytest.fail("called"))
    assert sys.meta_path == finders


def test_a_module_that_is_not_there_stays_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))  # the hook waits on, as the module may be installed
    around_import("no_such_module_anywhere", lambda load, loaded: pytest.fail("called"))
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        importlib.import_module("no_such_module_anywhere")


def test_other_modules_of_the_same_loader_are_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest's own loader, for example, is one object for all modules whose assertions it rewrites."""

    class Shared(importlib.abc.Loader, importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            return ModuleSpec(name, self) if name in ("shared_one", "shared_two") else None

        def exec_module(self, module: ModuleType) -> None:
            module.value = module.__name__

    shared, seen = Shared(), []
    monkeypatch.setattr(sys, "meta_path", [shared, *sys.meta_path])
    around_import("shared_one", lambda load, loaded: (load(loaded), seen.append(loaded.value)))
    modules = [importlib.import_module(name) for name in ("shared_one", "shared_two")]
    assert [module.value for module in modules] == ["shared_one", "shared_two"] and seen == ["shared_one"]
    assert modules[0].__loader__ is modules[0].__spec__.loader is shared
    for name in ("shared_one", "shared_two"):
        del sys.modules[name]
