"""Devkits of VOC: photos whose class is a colour, and photos with one bright box each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.voc_devkits import write_boxed_devkit, write_devkit


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    return write_devkit(tmp_path)


@pytest.fixture(scope="module")
def boxed_devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_boxed_devkit(tmp_path_factory.mktemp("devkit"))
