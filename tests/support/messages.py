"""The messages of the package as patterns, read from its source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FEWEST_LETTERS = 25  # of fixed text: a pattern with less fits too many messages


def messages(folder: Path) -> list[re.Pattern[str]]:
    """Return a pattern for each text in the Python files below `folder`; what is filled in may be anything."""
    nodes = [
        node for path in sorted(folder.rglob("*.py")) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]
    texts = [_parts(node) for node in nodes if isinstance(node, ast.JoinedStr | ast.Constant)]
    return [
        re.compile(".+".join(map(re.escape, parts)))
        for parts in texts
        if sum(len(part) for part in parts) >= FEWEST_LETTERS
    ]


def _parts(node: ast.JoinedStr | ast.Constant) -> list[str]:
    """Return the fixed parts of a text, between which something is filled in."""
    values = node.values if isinstance(node, ast.JoinedStr) else [node]
    parts = [""]
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            parts[-1] += value.value
        else:
            parts.append("")
    return parts
