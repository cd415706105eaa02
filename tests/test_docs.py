"""The documentation: its commands parse, every field is on its page, links resolve, pages are not too long."""

from __future__ import annotations

import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import tf_spot
from tests.support.browser import screenshot
from tf_spot.cli import build_parser
from tf_spot.config import PRESETS, Config

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS, ROOT / "export" / "README.md", ROOT / "export" / "serve" / "README.md"]
HOOKS = runpy.run_path(str(ROOT / "docs" / "hooks.py"))


def commands(page: Path) -> list[str]:
    """Return the arguments of every call of tf-spot in a code block, continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```(?:sh|bash|console)?\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [line.strip() for line in text.splitlines() if re.match(r"    (?=\S*tf-spot)", line)]
    found = [re.search(r"(?:^|[ '/])tf-spot ([a-z].*)$", line) for line in lines]
    return [match[1] for match in found if match]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    for command in commands(page):
        words = shlex.split(command.rstrip("'").rstrip("&"), comments=True)
        words = words[: words.index("|")] if "|" in words else words
        words = [word.split("|")[0] for word in words if word not in ("...", "&&")]
        try:
            build_parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{page.name}: tf-spot {command}")


def test_commands_are_found() -> None:
    assert len(commands(ROOT / "docs" / "index.md")) >= 6
    assert "train --config search/config.json --data folder:photos/ --out runs/best" in commands(
        ROOT / "docs" / "tuning.md"
    )


def test_the_page_of_fields_is_written_from_config() -> None:
    page = HOOKS["configuration"]()
    assert page == (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8"), "run: mkdocs build"
    for group, fields in Config().to_dict().items():
        for name in fields if isinstance(fields, dict) else ():
            (row,) = [line for line in page.splitlines() if line.startswith(f"| `{group}.{name}` ")]
            assert len(row.split("|")[3].strip()) > 3, f"{group}.{name} has no comment"
    assert all(f"**{name}**" in page for name, changes in PRESETS.items() if changes)


def anchors(page: Path) -> set[str]:
    """Return the anchors of all headings, as MkDocs and GitHub derive them from plain words."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert all(page.name in navigation for page in DOCS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_are_short_enough_to_be_read(page: Path) -> None:
    """A longer page should be split. Tables and diagrams count."""
    most = 1_300 if page.name in ("architecture.md", "configuration.md") else 1_200
    assert len(page.read_text(encoding="utf-8").split()) <= most


def test_the_reference_has_every_public_name() -> None:
    entries = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    for entry in entries:
        module, _, name = entry.rpartition(".")
        assert hasattr(importlib.import_module(module), name), entry
    assert set(tf_spot.__all__) - {"load"} <= {entry.rpartition(".")[2] for entry in entries}


@pytest.mark.slow
def test_the_site_opens_in_a_browser_without_errors(tmp_path: Path) -> None:
    """The screenshots are kept under TF_SPOT_PICTURES if that is set."""
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--no-directory-urls",
        "--site-dir",
        tmp_path,
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    pictures = Path(os.environ.get("TF_SPOT_PICTURES", tmp_path))
    for name in ("index", "healthy", "findings", "architecture", "configuration", "api"):
        errors = screenshot(tmp_path / f"{name}.html", pictures / f"docs-{name}.png", height=1600)
        assert not [line for line in errors.splitlines() if "file://" not in line], errors  # search needs a server
