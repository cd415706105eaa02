"""MkDocs hooks: links to files outside `docs/` become file names, and `configuration.md` is generated."""

from __future__ import annotations

import io
import re
import sys
import tokenize
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.config import PRESETS, Config  # noqa: E402

OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")
FIELD = re.compile(r"    (\w+): [^=]+ = (.+?)\s*$")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace links such as `[text](../README.md)`, which the site does not have, by the file name."""
    return OUTSIDE.sub(lambda match: f"`{match[2]}`", markdown)


def on_pre_build(**_: Any) -> None:
    """Write `docs/configuration.md`; an unchanged file keeps its date, or `mkdocs serve` would rebuild forever."""
    page = ROOT / "docs" / "configuration.md"
    text = configuration()
    if not page.is_file() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


def configuration() -> str:
    """Return the page of all fields: default, comment in config.py, and the values of the presets."""
    lines = (ROOT / "tf_spot" / "config.py").read_text(encoding="utf-8").splitlines()
    comments = _comments(lines)
    out = ["# Configuration: every field", "", _INTRODUCTION]
    for group, fields in Config().to_dict().items():
        if not isinstance(fields, dict):
            continue
        out += ["", f"## `{group}`", "", "| field | default | meaning and source |", "|---|---|---|"]
        of_group = comments[type(getattr(Config(), group)).__name__]
        out += [f"| `{group}.{name}` | `{_shown(value)}` | {of_group[name]} |" for name, value in fields.items()]
    out += ["", "## Presets", "", "`stl10` has the defaults. The others differ from it in:", ""]
    for preset, changes in PRESETS.items():
        if changes:
            out += [f"- **{preset}**: " + ", ".join(f"`{name}={value}`" for name, value in changes.items())]
    return "\n".join(out) + "\n"


_INTRODUCTION = """Generated from `tf_spot/config.py`. `--set game.drop_rate=0.7` changes a field on the command line,
`config.replace(**{"game.drop_rate": 0.7})` in Python. "paper" is Jenni and Favaro, CVPR 2018; "code" is the
authors' public code; "ours" is a choice of this project. Preset `small` is for two CPU cores, `gpu` for one GPU, `tiny`
for tests. Without `--preset`, `tf-spot train` takes `stl10`, and `ablate`, `compare` and `tune` take `small`."""


def _shown(value: Any) -> str:
    """Return the value as Python writes it, but long floats with four digits: 0.1255 for 32 / 255."""
    return f"{value:.4g}" if len(str(value)) > 8 and isinstance(value, float) else str(value)


def _comments(lines: list[str]) -> dict[str, dict[str, str]]:
    """Return {class: {field: comment}}; a comment continues on the lines below that hold nothing else."""
    comments: dict[str, dict[str, str]] = {"": {}}
    owner = field = ""
    tokens = tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline)
    texts = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    for number, line in enumerate(lines, start=1):
        match = FIELD.match(line) or re.match(r"    (\w+): \w+ = \($", line)  # the default may start on the next line
        if match:
            field = match[1]
            comments[owner][field] = ""
        elif line.startswith(("@", "class ", "    def ")):
            field = ""
        if line.startswith("class "):
            owner = line.removeprefix("class ").rstrip(":")
            comments[owner] = {}
        if field and number in texts:
            comments[owner][field] = f"{comments[owner][field]} {texts[number].replace('|', 'or')}".strip()
    return comments
