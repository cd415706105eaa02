"""What the package index shows: Python versions said everywhere alike, absolute links, one address."""

from __future__ import annotations

import configparser
import re
import runpy
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

import tf_spot
from tests.test_packaging import PYTHONS

ROOT = Path(__file__).parent.parent
SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg", encoding="utf-8")
SETUP = runpy.run_path(str(ROOT / "setup.py"))
PYTHON = re.compile(r"Programming Language :: Python :: (3\.\d+)$", re.MULTILINE)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_versions_of_python_are_the_same_everywhere() -> None:
    """`tests/test_packaging.py` looks up every pinned package for each of them."""
    said = PYTHON.findall(SETTINGS["metadata"]["classifiers"])
    allowed = SpecifierSet(SETTINGS["options"]["python_requires"])
    assert said == [version for minor in range(30) if (version := f"3.{minor}") in allowed]
    first, last = said[0], said[-1]
    assert f"Python {first} to {last}" in text("README.md") and f"Python {first} to {last}" in text("constraints.txt")
    assert f"Python {first} to {last}" in text("docs/index.md")
    assert f"({first.replace('.', ', ')}) <= sys.version_info[:2] <= ({last.replace('.', ', ')})" in text("Makefile")
    assert [".".join(version.split(".")[:2]) for version in PYTHONS] == said


def test_every_link_of_the_long_description_is_absolute() -> None:
    page = SETUP["long_description"]()
    targets = re.findall(r"\]\(([^)]+)\)", page)
    assert len(targets) > 15 and all(target.startswith(("https://", "#")) for target in targets)
    address = SETTINGS["metadata"]["url"]
    assert f"({address}/raw/main/docs/images/pictures.png)" in page
    assert f"({address}/blob/main/docs/results.md)" in page
    assert re.sub(rf"{address}/(?:raw|blob)/main/", "", page) == re.sub(
        rf"{address}/(?:raw|blob)/main/", "", text("README.md")
    )


@pytest.mark.parametrize("field", ["version", "license", "repository-code"])
def test_the_citation_says_what_the_package_says(field: str) -> None:
    expected = {
        "version": tf_spot.__version__,
        "license": SETTINGS["metadata"]["license"],
        "repository-code": SETTINGS["metadata"]["url"],
    }
    assert f"\n{field}: {expected[field]}\n" in text("CITATION.cff")


def test_the_citation_names_the_author_of_the_package() -> None:
    """`authors` is required by the format: citation-file-format, version 1.2.0."""
    assert f"\nauthors:\n  - name: {SETTINGS['metadata']['author']}\n" in text("CITATION.cff")
