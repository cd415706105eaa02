"""Patterns that stand for many files: `{000..127}`, `{a,b}`, `*`, `?`, `[...]`, or a folder."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from tf_spot.errors import UserError

MOST_NAMES = 1_000_000  # that braces may stand for
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
_SPECIAL = re.compile(r"[{*?\[]")


class FoundFiles(NamedTuple):
    """Files of a pattern."""

    folder: Path  # as far as the pattern names one folder
    names: list[str]  # paths below it, in the order of the braces, sorted within a `*`


def find_files(pattern: str, ending: str) -> FoundFiles:
    """Find the files that a pattern stands for.

    Args:
        pattern: of paths; a folder stands for all files below it with the ending.
        ending: such as `.tar`.

    Raises:
        UserError: no file, one that braces name and that is missing, or braces that are no range.
    """
    text = str(Path(pattern).expanduser())  # without the braces' meaning lost: they are plain characters to it
    if Path(text).is_dir():
        return _found(pattern, Path(text), glob.glob(f"{glob.escape(text)}/**/*{ending}", recursive=True))
    special = _SPECIAL.search(text)
    folder = Path(text[: special.start()] + "x" if special else text).parent
    names = expand_braces(text)
    missing = [name for name in names if not glob.has_magic(name) and not Path(name).is_file()]
    if missing:
        raise UserError(
            f"every file of a pattern must be there; received: {pattern}, of whose {len(names):,} files "
            f"{len(missing):,} are missing, the first is {missing[0]}"
        )
    each = (sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else [name] for name in names)
    return _found(pattern, folder, list(dict.fromkeys(chain.from_iterable(each))), ordered=True)


def expand_braces(pattern: str) -> list[str]:
    """Return every text that a pattern with braces stands for, as a shell has it; ranges keep their leading zeros.

    Raises:
        UserError: a range that falls, or more than `MOST_NAMES` texts.
    """
    texts = list(islice(_expanded(pattern), MOST_NAMES + 1))
    if len(texts) > MOST_NAMES:
        raise UserError(f"braces must stand for at most {MOST_NAMES:,} files; received: {pattern}")
    return texts


def _expanded(text: str) -> Iterator[str]:
    braces = _first(text)
    if braces is None:
        yield text
    else:
        for choice in _choices(braces):
            yield from _expanded(text.replace(braces, choice, 1))


def _first(text: str) -> str | None:
    """Return the first braces that stand for several texts."""
    found = [match for match in (_RANGE.search(text), _CHOICE.search(text)) if match is not None]
    return min(found, key=lambda match: match.start())[0] if found else None


def _choices(braces: str) -> list[str]:
    ends = _RANGE.fullmatch(braces)
    if ends is None:
        return braces[1:-1].split(",")
    first, last = int(ends[1]), int(ends[2])
    if last < first or last - first >= MOST_NAMES:
        raise UserError(
            f"a range in braces must ascend, over at most {MOST_NAMES:,} numbers, such as {{000..127}}; received: "
            f"{braces}"
        )
    padded = any(len(end) > 1 and end.startswith("0") for end in ends.groups())
    width = max(map(len, ends.groups())) if padded else 0
    return [f"{number:0{width}}" for number in range(first, last + 1)]


def _found(pattern: str, folder: Path, files: list[str], ordered: bool = False) -> FoundFiles:
    if not files:
        raise UserError(
            f"a pattern must stand for files; received: {pattern}, for which there are none; put it in quotes"
        )
    names = [str(Path(file).relative_to(folder)) for file in files]
    return FoundFiles(folder, names if ordered else sorted(names))
