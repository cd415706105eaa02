"""Pieces of HTML. Whatever comes from outside goes through `text`."""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.resources
import re
from collections.abc import Iterable, Sequence
from string import Template
from typing import Any


def page(title: str, subtitle: str, sections: dict[str, str]) -> str:
    """A whole page: the template around its chapters. Only the template's own script may run: its digest stands there.

    Args:
        title, subtitle: text.
        sections: HTML by the title of the chapter.
    """
    template = importlib.resources.files("tf_spot.report").joinpath("templates/report.html").read_text(encoding="utf-8")
    (script,) = re.findall("<script>(.*?)</script>", template, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return Template(template).substitute(
        title=text(title),
        subtitle=text(subtitle),
        script_digest=f"sha256-{digest}",
        links=" ".join(f'<a href="#{anchor(title)}">{text(title)}</a>' for title in sections),
        body="\n".join(section(title, content) for title, content in sections.items()),
    )


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


def provenance(values: dict[str, Any], config: str) -> str:
    """Where the page comes from, and the configuration as it is written."""
    return f"{facts(values)}<h3>Configuration</h3><pre>{text(config)}</pre>"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
