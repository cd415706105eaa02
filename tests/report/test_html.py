"""Pages out of templates: nothing from outside becomes markup, and no script runs but the page's own."""

import base64
import hashlib
import os
import re
from importlib.resources import files

import jinja2
import pytest

from tests.report.example import rendered
from tests.support.html_page import Page
from tf_spot.report import html
from tf_spot.report.comparison import ComparisonTable
from tf_spot.report.heat_maps import HeatMaps
from tf_spot.report.html import Block, Figure, Provenance, figure, note, render, render_page
from tf_spot.report.neighbours import Neighbours, Query
from tf_spot.report.published import PublishedTables
from tf_spot.report.tables import Cell, ResultTable, Row, Table
from tf_spot.report.training_pictures import Film
from tf_spot.report.tsne_plot import LegendEntry

NAME = "<script>alert(\"1\")</script> ' onerror='x' &lt; {{ 7 * 7 }}"
URI = "data:image/png;base64,AA+/=="
TABLE = Table(["", NAME], [Row(NAME, [Cell(NAME, best=True)], own=True)])
PICTURES = Figure([URI], NAME, heading=NAME)

# Each template with `NAME` wherever it shows a string, and how often that is.
BLOCKS = [
    (note(NAME), 1),
    (figure(URI, NAME), 1),
    (Block("figures.html", [PICTURES, PICTURES]), 4),
    (Block("result.html", ResultTable(NAME, TABLE, NAME, TABLE)), 8),
    (Block("film.html", Film(NAME, [PICTURES])), 3),
    (Block("heat_maps.html", HeatMaps([PICTURES], 0.5)), 2),
    (Block("neighbours.html", Neighbours(NAME, [Query(NAME, URI, {NAME: URI})])), 3),
    (Block("legend.html", [LegendEntry(NAME, (1, 2, 3))]), 1),
    (Block("comparison.html", ComparisonTable(TABLE, {NAME: NAME})), 5),
    (Block("rates.html", TABLE), 3),
    (Block("published.html", PublishedTables(NAME, NAME, [(NAME, TABLE)])), 6),
    (Block("provenance.html", Provenance({NAME: {NAME: 1}, "list": [NAME]}, NAME)), 4),
]


def test_nothing_runs_but_the_pages_own_script(page, text) -> None:
    """The browser itself holds to it: any other script has another digest."""
    ((_, attributes),) = [found for found in page.tags if found[0] == "script"]
    assert attributes == {}
    policy = dict(page.tags)["meta"]["content"]
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" == policy


def test_style_fetches_nothing(text) -> None:
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert "url(" not in style and "@import" not in style


def test_readable_on_a_phone(page) -> None:
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


@pytest.mark.parametrize(("block", "count"), BLOCKS, ids=[block.template for block, _ in BLOCKS])
def test_strings_are_text_in_every_template(block, count) -> None:
    page = Page(rendered([block]))
    assert page.text.count(NAME) == count
    assert page.count("script") == 0
    for tag, attributes in page.tags:
        assert set(attributes) <= {"src", "alt", "class", "style"}, tag
        assert attributes.get("src", URI) == URI
        assert NAME in attributes.get("alt", NAME)


def test_every_template_is_among_those() -> None:
    templates = {path.name for path in files("tf_spot.report").joinpath("templates").iterdir()}
    assert templates - {"page.html", "page.css", "page.js", "macros.html"} == {block.template for block, _ in BLOCKS}


def test_titles_are_text() -> None:
    """In the page's own head and links too; its script is the only one."""
    page = Page(render_page(NAME, NAME, {NAME: [note("text")]}))
    assert page.text.count(NAME) == 5  # title, h1, subtitle, link, h2
    assert page.count("script") == 1
    assert dict(page.tags)["a"]["href"] == "#" + dict(page.tags)["section"]["id"]


def test_bytes_that_are_not_utf8_are_spelled_out() -> None:
    name = os.fsdecode(b"caf\xe9 <i>.png")
    page = Page(render_page("title", "subtitle", {"Section": [note(name)]}))
    assert "caf\\udce9 <i>.png" in page.text
    page.text.encode("utf-8")


def test_a_forgotten_value_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("note.html")


def test_anchors_and_facts() -> None:
    assert html.anchor("Filters of conv1") == "filters-of-conv1"
    assert html.in_words({"train": 3, "test": 1}) == "train 3, test 1"
    assert html.in_words(["tf-spot", "train", 1]) == "tf-spot train 1"
    assert html.in_words(None) == "None"
