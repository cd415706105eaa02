"""`tf-spot evaluate`: what the learned features are worth, beside controls."""

from __future__ import annotations

import argparse
import textwrap
import typing
from dataclasses import fields
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, Subcommands, add_device_options, add_subcommand
from tf_spot.config import FinetuneConfig
from tf_spot.errors import UserError
from tf_spot.evaluation.published import WHICH, check_published, format_tables, published
from tf_spot.evaluation.tasks import POOLINGS, PROBES, SOLVERS, TASKS, Options, flag, taking
from tf_spot.runs.cards import is_pretrained
from tf_spot.runs.run import Run, recipe_of
from tf_spot.storage.spec import parse_specs

HINTS = typing.get_type_hints(FinetuneConfig)
RECIPE = tuple(field for field in fields(FinetuneConfig) if "help" in field.metadata)


def add(subcommands: Subcommands) -> None:
    """Add the subcommand and its options; those of some tasks stand in a group that names them."""
    parser = add_subcommand(subcommands, "evaluate", run, "what the learned features are worth, beside controls")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "tasks:\n" + "\n".join(f"  {name:20}{task.summary}" for name, task in TASKS.items())
    parser.add_argument(
        "run", metavar="RUN", type=Path, help="run folder, row of a comparison, or name of pretrained weights"
    )
    parser.add_argument("--data", metavar="SPEC", help="photos with labels and a test split (those of the training)")
    parser.add_argument("--task", required=True, choices=list(TASKS), help="see below and docs/protocols.md")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the result here too, as JSON")
    parser.add_argument(
        "--published", choices=WHICH, help="print the paper's numbers below: its own rows, or those of all works"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of everything drawn (0)")
    _add_task_options(_Groups(parser))
    add_device_options(parser)


class _Groups:
    """The options of tasks, grouped by the tasks that take them."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parser, self._groups = parser, dict[str, Any]()

    def add(self, option: str, **kwargs: Any) -> None:
        """Add an option, a field of `Options` or `FinetuneConfig`; left out, it is None.

        Args:
            option: name of the field.
            **kwargs: of `add_argument`.
        """
        tasks = ", ".join(taking(option))
        if tasks not in self._groups:
            title = "\n  ".join(textwrap.wrap(f"options of {tasks}", 78, break_on_hyphens=False))
            self._groups[tasks] = self._parser.add_argument_group(title)
        self._groups[tasks].add_argument(flag(option), dest=option, default=None, **kwargs)


def _add_task_options(groups: _Groups) -> None:
    groups.add("layers", metavar="CONV1,...", type=_names, help="layers to probe (conv1 to conv5)")
    values = Options.num_values
    groups.add("num_values", metavar="N", type=int, help=f"values that a layer is pooled to ({values})")
    groups.add("pooling", choices=POOLINGS, help=f"how layers are pooled ({Options.pooling})")
    groups.add("solver", choices=SOLVERS, help="closed form, or SGD by a published schedule (ridge)")
    for field in RECIPE:
        text, kind = field.metadata["help"], HINTS[field.name]
        if kind is bool:
            groups.add(field.name, action="store_true", help=text)
        else:
            kind = kind if isinstance(kind, type) else str  # of a Literal; the config checks the value
            groups.add(field.name, metavar=_metavar(kind), type=kind, help=f"{text} ({field.default})")
    groups.add("finetuned", action="store_false", help="leave out the finetuned networks")
    groups.add("folds", action="store_true", help="train on each of STL-10's ten folds instead of all labels at once")
    groups.add("scales", metavar="N,...", type=_numbers, help="pixels, shorter sides of the photos in training (3/4, 1 "
               "and 5/4 of the test's)")  # fmt: skip
    groups.add("test_scale", metavar="N", type=int, help="pixels, in the test (twice the run's image size)")
    groups.add("num_images", metavar="N", type=int, help=f"test photos, at most ({Options.num_images})")


def _metavar(kind: type) -> str:
    return {int: "N", float: "X"}.get(kind, "KIND")


def _names(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be whole numbers like 96,128; received: {text}") from error


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Evaluate, print the table and write the result."""
    if options.published:
        check_published(options.task)
    recipe_of(options.run)
    if options.data is None and is_pretrained(options.run):
        raise UserError(f"{options.run} was not trained here: say which photos to judge it on with --data SPEC")
    spec = options.data or Run(options.run).data["spec"]
    parse_specs(spec, "voc")
    from tf_spot.distributed.strategies import is_chief, leave, lost_workers, make_strategy
    from tf_spot.evaluation import format_table
    from tf_spot.evaluation.evaluate_run import evaluate_run
    from tf_spot.progress import show_progress
    from tf_spot.storage.files import write_json

    # What is not given is left to the defaults of `evaluate_run` and of the recipe.
    given = {name: value for name, value in vars(options).items() if value is not None}
    chosen = {field.name: given[field.name] for field in fields(Options) if field.name in given}
    recipe = {field.name: given[field.name] for field in RECIPE if field.name in given and field.name not in chosen}
    strategy = make_strategy(options.strategy, options.wait)  # that of several workers must come first of all
    with lost_workers(strategy), strategy.scope(), show_progress() as on_progress:
        result = evaluate_run(
            options.run,
            spec,
            options.task,
            recipe=FinetuneConfig(**recipe),
            seed=options.seed,
            on_progress=on_progress,
            **chosen,
        )
        leave(strategy)
    if options.out and is_chief(strategy):
        write_json(options.out, result)
    photos = ", ".join(f"{split} {count:,} photos" for split, count in result["photos"].items())
    print(f"{result['data']}: {photos}, {result['classes']} classes, {len(result['unreadable'])} unreadable")
    print(format_table(result))
    if options.task in PROBES:
        auc = result["mask_auc"]
        print(f"mask AUC on test images: {'no mask head' if auc is None else f'{auc:.3f}'}")
    if options.published:
        task = result["task"]
        print(format_tables(task, options.published, result))
        result = result | {"published": [row._asdict() for row in published(task, options.published)]}
    return result, DONE
