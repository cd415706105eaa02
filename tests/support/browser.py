"""Chromium, as Debian packages it, for the tests that look at pages."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Return the path of Chromium."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, "these tests need Chromium; on Debian: apt install chromium"
    return found


def screenshot(page: Path, picture: Path, width: int = 1200, height: int = 2400) -> str:
    """Open a file, write a screenshot to `picture`, and return the errors that the page logged."""
    return _opened(page, picture, "--hide-scrollbars", f"--window-size={width},{height}", f"--screenshot={picture}")


def print_page(page: Path, document: Path) -> str:
    """Open a file, print it to the PDF `document`, and return the errors that the page logged."""
    return _opened(page, document, "--no-pdf-header-footer", f"--print-to-pdf={document}")


def _opened(page: Path, result: Path, *flags: str) -> str:
    command = [
        chromium(),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        *flags,
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and result.is_file(), done.stderr[-2000:]
    return "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
