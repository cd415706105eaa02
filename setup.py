"""What setup.cfg cannot say: on the package index the links of the README lead to the repository."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
PICTURES = (".png", ".svg")


def long_description() -> str:
    """Return the README with absolute links. The address of the repository is `url` of setup.cfg."""
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg", encoding="utf-8")
    address = metadata["metadata"]["url"]

    def absolute(match: re.Match[str]) -> str:
        kind = "raw" if match[1].endswith(PICTURES) else "blob"
        return f"]({address}/{kind}/main/{match[1]})"

    return re.sub(r"\]\((?!https?:|#)([^)\s]+)\)", absolute, (ROOT / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    setup(long_description=long_description(), long_description_content_type="text/markdown")
