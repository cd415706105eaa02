"""The paper's tables, folded, each beside the result of the same task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tf_spot.evaluation.published import NOTE, TABLES, PaperTable, table_cells
from tf_spot.report.html import Block
from tf_spot.report.tables import Cell, Row, Table
from tf_spot.runs.run import Run
from tf_spot.storage.json_files import interpreting, read_json


class PublishedTables(NamedTuple):
    """The tables of the paper for one result."""

    summary: str  # what is shown of it folded
    note: str
    tables: Sequence[tuple[str, Table]]  # each below its title


def published_tables(run: Run) -> list[Block]:
    """Return one folded block per file of RUN/results whose task the paper has, with the result as first row."""
    blocks = []
    for path in sorted((run.path / "results").glob("*.json")):
        with interpreting(path):
            result = read_json(path, (dict, list))
            if isinstance(result, dict) and str(result.get("task")) in TABLES and "value" in result:
                blocks.append(_block(result))
    return blocks


def _block(result: Mapping[str, Any]) -> Block:
    tables = [(f"{table.title} in percent", _table(table, result)) for table in TABLES[result["task"]]]
    summary = f"Published beside {result['task']} on {result.get('data', 'unknown data')}"
    return Block("published.html", PublishedTables(summary, NOTE[0].upper() + NOTE[1:] + ".", tables))


def _table(table: PaperTable, result: Mapping[str, Any]) -> Table:
    rows = [
        Row(name, [Cell(text, best=False) for text in cells], own=number == 0)
        for number, (name, cells) in enumerate(table_cells(table, result))
    ]
    return Table(["", *table.columns, "here"], rows)
