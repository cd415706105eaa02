"""The messages on the page of troubleshooting are those of the code, and some of them are provoked."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.messages import messages
from tf_spot.cli import main
from tf_spot.errors import machine_fault
from tf_spot.faults import told_in_a_line

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^> (.+)$", PAGE, re.MULTILINE)
# Put together from parts: told by calling what tells them.
COMPOSED = [
    str(machine_fault(OSError(errno.ENOSPC, "No space left on device", "runs/mine/checkpoints"))),
    told_in_a_line(MemoryError()).line,
]
PATTERNS = messages(ROOT / "tf_spot")


def test_the_page_is_read() -> None:
    assert len(QUOTED) >= 20


@pytest.mark.parametrize("text", QUOTED, ids=lambda text: text[:40])
def test_a_quoted_message_is_in_the_code(text: str) -> None:
    known = any(pattern.fullmatch(text) for pattern in PATTERNS)
    assert known or text in COMPOSED or text in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_a_message_that_is_not_in_the_code_is_noticed() -> None:
    assert not any(pattern.fullmatch("--out must be a folder that is new; received: x") for pattern in PATTERNS)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos without labels."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        Image.fromarray(np.full((40, 40, 3), index, np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.mark.parametrize(
    ("words", "beginning"),
    [
        ("train --data folder:missing --out run", "folder:PATH must be a folder"),
        ("train --data folder:{photos} --preset tiny --out run", "training needs at least one batch of photos"),
        ("train --data photos --preset tiny --out {photos}", "--out must be a new or empty folder"),
    ],
)
def test_a_mistake_is_told_as_on_the_page(
    words: str, beginning: str, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos.parent)
    assert main([word.format(photos=photos) for word in words.split()]) == 2
    told = capsys.readouterr().err.splitlines()[-1].removeprefix("tf-spot: ")
    assert told.startswith(beginning) and any(text.startswith(beginning) for text in QUOTED)
