"""Modules as attributes of their package."""

import pytest

from tf_spot.lazy import submodule


def test_a_module_is_imported() -> None:
    assert submodule("tf_spot.storage", "files").__name__ == "tf_spot.storage.files"


@pytest.mark.parametrize("name", ["nothing", "_files", "__path__x"])
def test_other_names_are_attribute_errors(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'tf_spot.storage' has no attribute '{name}'"):
        submodule("tf_spot.storage", name)
