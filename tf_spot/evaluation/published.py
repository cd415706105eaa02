"""Numbers that the paper published, to stand beside ours: on its own data, never in one column with other data's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from tf_spot.config import LAYERS
from tf_spot.errors import UserError
from tf_spot.evaluation.published_rows import OWN_NETWORK, TABLE_2, TABLE_3, TABLE_3_COLUMNS, TABLE_4, TABLE_5, Linear
from tf_spot.evaluation.published_works import OWN, here
from tf_spot.evaluation.tasks import TASKS

Which = Literal["paper", "all"]  # the paper's own rows, or those of other works too
WHICH: tuple[str, ...] = get_args(Which)
NOTE = "published: on the data that is named, after training on far more photos; context for yours, not one ranking"


class Published(NamedTuple):
    """One row of a table of the paper."""

    table: str  # "Table 2"
    data: str  # of the measurement; "after" the data of pre-training, where that is other data
    metric: str
    method: str  # "spot", "random" for random initialisation, or one of `WORKS`
    by_layer: dict[str, float]  # percent
    deviation: dict[str, float]  # of those, where the paper gives it


class PaperTable(NamedTuple):
    """A table of the paper, or some columns of it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Published, ...]


def _table_2() -> Iterator[Published]:
    for method, values in TABLE_2.items():
        accuracies = {column: accuracy for column, (accuracy, _) in values.items()}
        deviations = {column: spread for column, (_, spread) in values.items() if spread is not None}
        yield Published("Table 2", "STL-10", "accuracy", method, accuracies, deviations)


def _table_3(column: str) -> Iterator[Published]:
    segmented = column == "segmentation"
    data, metric = ("PASCAL VOC2012" if segmented else "PASCAL VOC"), "mean average precision"
    for method, values in TABLE_3.items():
        value = values[TABLE_3_COLUMNS.index(column)]
        if value is not None:
            where = f"{data} after ImageNet" if method == "spot" else data
            told = "mean intersection over union" if segmented else metric
            yield Published("Table 3", where, told, method, {"finetuned": value}, {})


def _linear(table: str, data: str, rows: Linear) -> Iterator[Published]:
    for method, values in rows.items():
        yield Published(table, data, "accuracy", method, dict(zip(LAYERS, values, strict=True)), {})


def _of_voc(column: str) -> PaperTable:
    rows = tuple(_table_3(column))
    return PaperTable(f"Table 3 on PASCAL VOC, {column}: {rows[0].metric}", ("finetuned",), rows)


_OF_STL10 = PaperTable("Table 2 on STL-10: accuracy", ("conv5", "finetuned", OWN_NETWORK), tuple(_table_2()))
_OF_LINEAR = (
    PaperTable("Table 4 on ImageNet: accuracy", LAYERS, tuple(_linear("Table 4", "ImageNet", TABLE_4))),
    PaperTable("Table 5 on Places205: accuracy", LAYERS, tuple(_linear("Table 5", "Places205", TABLE_5))),
)
TABLES: dict[str, tuple[PaperTable, ...]] = {  # by task of `tf-spot evaluate`
    "linear": _OF_LINEAR,
    "linear-sgd": _OF_LINEAR,
    "stl10": (_OF_STL10,),
    "transfer": (_OF_STL10,),
} | {f"voc-{column}": (_of_voc(column),) for column in TABLE_3_COLUMNS}


def check_published(task: str) -> None:
    """Raise a `UserError` for a task that the paper has no table of."""
    if task not in TABLES:
        raise UserError(
            f"--published goes with --task {', '.join(name for name in TABLES if name in TASKS)}; received: --task "
            f"{task}, which the paper does not have; leave out --published"
        )


def published(task: str, which: Which = "paper") -> tuple[Published, ...]:
    """Return the published rows of a task of `tf-spot evaluate`; none for a task that the paper does not have."""
    return tuple(row for table in TABLES.get(task, ()) for row in table.rows if which == "all" or row.method in OWN)


def format_published(task: str) -> str:
    """Return the paper's own numbers as lines of plain text, each with its data; empty where there are none."""
    lines = []
    for row in published(task):
        cells = [f"{name} {_cell(row, name)}" for name in row.by_layer]
        what = f"{task} of the paper's {row.table} on {row.data}, {row.method}"
        lines.append(f"{what}: {row.metric} in percent: {', '.join(cells)}")
    return "\n".join(lines)


def table_3() -> PaperTable:
    """Return Table 3 with its three columns side by side."""
    by_method: dict[str, dict[str, float]] = {}
    for column in TABLE_3_COLUMNS:
        for row in published(f"voc-{column}", "all"):
            by_method.setdefault(row.method, {})[column] = row.by_layer["finetuned"]
    rows = [Published("Table 3", "PASCAL VOC", "see the columns", method, by_method[method], {}) for method in TABLE_3]
    title = "Table 3 on PASCAL VOC, finetuned: mean average precision, twice, and mean intersection over union"
    return PaperTable(title, TABLE_3_COLUMNS, tuple(rows))


def table_cells(table: PaperTable, result: Mapping[str, Any] | None = None) -> list[tuple[str, list[str]]]:
    """Return the name and the cells of every row: a value per column and, last, the method that stands for it here.

    Args:
        table: of the paper.
        result: of an evaluation, which then is the first row: the values of the same layers, or its one value.
    """
    rows = [(row.method, [*(_cell(row, column) for column in table.columns), here(row.method)]) for row in table.rows]
    if result is None:
        return rows
    layers = result.get("by_layer") or {}
    values = {column: layers[column] for column in table.columns if column in layers}
    values = values or {table.columns[0]: result["value"]}
    cells = [f"{values[column]:.1f}" if column in values else "" for column in table.columns]
    return [(f"yours, on {result.get('data', 'unknown data')}", [*cells, result.get("method", "spot")]), *rows]


def format_tables(task: str, which: Which = "all", result: Mapping[str, Any] | None = None) -> str:
    """Return the paper's tables of a task as plain text, below a note on what they are.

    Args:
        task: of `tf-spot evaluate`, one that the paper has.
        which: the paper's own rows, or all.
        result: of an evaluation, to stand first, see `table_cells`.
    """
    own = [table._replace(rows=tuple(row for row in table.rows if row.method in OWN)) for table in TABLES[task]]
    tables = TABLES[task] if which == "all" else own
    return "\n".join([NOTE, *(format_paper_table(table, result) for table in tables)])


def format_paper_table(table: PaperTable, result: Mapping[str, Any] | None = None) -> str:
    """Return a table of the paper as plain text; see `table_cells`."""
    rows = [("", [*table.columns, "here"]), *table_cells(table, result)]
    names, columns = [name for name, _ in rows], zip(*(cells for _, cells in rows), strict=True)
    *values, last = [_aligned(column) for column in columns]
    lines = zip(_aligned(names, left=True), *values, (cell.strip() for cell in last), strict=True)
    return "\n".join([f"{table.title} in percent", *("  ".join(line).rstrip() for line in lines)])


def _aligned(texts: Sequence[str], *, left: bool = False) -> list[str]:
    width = max(map(len, texts))
    return [text.ljust(width) if left else text.rjust(width) for text in texts]


def _cell(row: Published, column: str) -> str:
    """Return a value to one decimal, with its deviation where there is one; empty where nothing was measured."""
    if column not in row.by_layer:
        return ""
    deviation = f" ± {row.deviation[column]:.1f}" if column in row.deviation else ""
    return f"{row.by_layer[column]:.1f}{deviation}"
