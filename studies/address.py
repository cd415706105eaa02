"""Write the repository's address wherever it is needed: python studies/address.py https://github.com/OWNER/NAME

It stands once, as `url` of setup.cfg. Without an argument the address is printed with the files that have it.
"""

from __future__ import annotations

import argparse
import configparser
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("setup.cfg", "CITATION.cff", "CONTRIBUTING.md", "README.md", "docs/*.md", "notebooks/[0-9]*")
GITHUB = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", help="of the repository on GitHub, from where Colab opens the notebooks")
    wanted = parser.parse_args(arguments).address
    if wanted is None:
        print("\n".join([address(ROOT), *(str(path.relative_to(ROOT)) for path in places(ROOT))]))
    elif not GITHUB.fullmatch(wanted):
        sys.exit(f"the address must be https://github.com/OWNER/NAME; received: {wanted}")
    else:
        move(ROOT, wanted)


def address(root: Path) -> str:
    """Return the address that setup.cfg has."""
    metadata = configparser.ConfigParser()
    metadata.read(root / "setup.cfg", encoding="utf-8")
    return metadata["metadata"]["url"]


def places(root: Path) -> list[Path]:
    """Return the files that have the address, or its path, which is what Colab's links have."""
    return [
        file for pattern in PLACES for file in sorted(root.glob(pattern)) if repository(address(root)) in _text(file)
    ]


def move(root: Path, wanted: str) -> None:
    """Replace the address by `wanted` in every file that has it."""
    before = repository(address(root))
    for path in places(root):
        path.write_text(_text(path).replace(before, repository(wanted)), encoding="utf-8")


def repository(url: str) -> str:
    """Return the end of an address that Colab's links have too, such as `/OWNER/NAME`."""
    return url.removeprefix("https://github.com")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
