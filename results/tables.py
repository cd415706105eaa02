"""Writes the README's tables from the result files beside this script: python results/tables.py"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.evaluation import format_table  # noqa: E402

MARK = re.compile(r"<!-- table: (\S+) -->\n(\n```text\n.*?\n```\n)?", re.DOTALL)


def render(text: str) -> str:
    """`text` with the table of the named file after every mark."""

    def table(match: re.Match[str]) -> str:
        result = json.loads((ROOT / match[1]).read_text(encoding="utf-8"))
        return f"<!-- table: {match[1]} -->\n\n```text\n{format_table(result)}\n```\n"

    return MARK.sub(table, text)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(render(readme.read_text(encoding="utf-8")), encoding="utf-8")
