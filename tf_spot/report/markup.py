"""Pieces of HTML. Whatever comes from outside goes through `text`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any


def text(value: object) -> str:
    """`value` as text that no browser takes for markup."""
    return html.escape(str(value).encode("utf-8", "backslashreplace").decode("utf-8"), quote=True)


def section(title: str, content: str) -> str:
    """A chapter of the page, which links lead to by `anchor`."""
    return f'<section id="{anchor(title)}">\n<h2>{text(title)}</h2>\n{content}\n</section>'


def anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def note(words: str) -> str:
    return f'<p class="soft">{text(words)}</p>'


def grid(figures: Iterable[str], style: str = "grid") -> str:
    return f'<div class="{style}">\n' + "\n".join(figures) + "\n</div>"


def image(uri: str, says: str, style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<img src="{uri}" alt="{text(says)}"{kind}>'


def figure(uris: Sequence[str], caption: str, heading: str = "") -> str:
    """Pictures side by side, a caption below."""
    title = f"<h3>{text(heading)}</h3>" if heading else ""
    images = "".join(image(uri, heading or caption) for uri in uris)
    return f"<figure>{title}{images}<figcaption>{text(caption)}</figcaption></figure>"


def table(head: Sequence[str], rows: Iterable[tuple[str, str]]) -> str:
    """A table that scrolls by itself on a narrow screen.

    Args:
        head: titles of the columns.
        rows: (attributes of the row, its cells), both HTML.
    """
    titles = "".join(f"<th>{text(name)}</th>" for name in head)
    lines = "".join(f"<tr{attributes}>{cells}</tr>" for attributes, cells in rows)
    return f'<div class="scroll"><table><tr>{titles}</tr>{lines}</table></div>'


def facts(values: dict[str, Any]) -> str:
    """Names and what they are."""
    rows = "".join(f"<tr><td>{text(name)}</td><td>{text(_plain(value))}</td></tr>" for name, value in values.items())
    return f'<div class="scroll"><table class="facts">{rows}</table></div>'


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
