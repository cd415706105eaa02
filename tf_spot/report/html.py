"""HTML pages out of Jinja2 templates. The templates escape every value, so no other module writes markup."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined


class Block(NamedTuple):
    """A piece of a page: a template and the data that it renders."""

    template: str  # file name in report/templates
    data: object  # the template's variable `data`


class Figure(NamedTuple):
    """Pictures side by side with a caption below, and perhaps a heading above."""

    uris: Sequence[str]  # data URIs: a page fetches nothing
    caption: str
    heading: str = ""


class Provenance(NamedTuple):
    """The origin of a page: named facts, and the configuration as JSON text."""

    facts: Mapping[str, object]
    config: str


def note(text: str) -> Block:
    """Return a paragraph in the soft colour, such as the reason why a section is empty."""
    return Block("note.html", text)


def figure(uri: str, caption: str) -> Block:
    """Return one picture with its caption."""
    return Block("figure.html", Figure([uri], caption))


def render_page(title: str, subtitle: str, sections: Mapping[str, Sequence[Block]]) -> str:
    """Return a whole page.

    Args:
        title: plain text, as are all strings.
        subtitle: a line below the title.
        sections: the blocks of each section, by the section's title.
    """
    return render("page.html", title=title, subtitle=subtitle, sections=sections)


def render(template: str, **values: object) -> str:
    """Return the HTML of a template.

    Bytes of file names that are not UTF-8 reach Python as lone surrogates, which no UTF-8 page can hold: they are
    spelled out, as in `\\udcff`.
    """
    text = _environment().get_template(template).render(**values)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@functools.cache
def _environment() -> Environment:
    # A forgotten value is an error (StrictUndefined), never an empty place on the page.
    environment = Environment(
        loader=PackageLoader("tf_spot.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"anchor": anchor, "csp_digest": csp_digest, "in_words": in_words}
    return environment


def anchor(title: str) -> str:
    """Return the id of a section, which the links at the top of the page lead to."""
    return title.lower().replace(" ", "-")


def csp_digest(script: str) -> str:
    """Return the digest by which the page's Content-Security-Policy allows `script`, and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}"


def in_words(value: object) -> str:
    """Return JSON data as a reader expects it: `{"train": 3}` as `train 3`, `["a", "b"]` as `a b`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
