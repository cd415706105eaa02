"""`tf-spot compare`: the spotter beside other methods, on one backbone and one budget."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.baselines import METHODS
from tf_spot.commands.shared_options import DONE, FAILED, Subcommands, add_subcommand
from tf_spot.config import PRESETS, preset
from tf_spot.storage.spec import parse_specs


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(
        subcommands, "compare", run, "the spotter beside other methods, on one backbone and one budget"
    )
    parser.add_argument("--data", metavar="SPEC", required=True, help="labelled photos with a test split")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the table; it is continued")
    parser.add_argument(
        "--methods", metavar="spot,...", default=",".join(METHODS), help=f"from {','.join(METHODS)} (all)"
    )
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="trainings per method (1)")
    parser.add_argument(
        "--trials", metavar="N", type=int, default=1, help="learning rates tried per method, up to 5 (1: the recipe's)"
    )
    parser.add_argument("--preset", choices=list(PRESETS), default="small", help="the recipe (small)")
    parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[], help="change a field of every row")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        "--budget-images", metavar="N", type=int, help="images each method sees (the recipe's two stages together)"
    )
    budget.add_argument("--budget-seconds", metavar="S", type=float, help="seconds each method trains")
    parser.add_argument(
        "--num-values", metavar="N", type=int, default=9_000, help="values per layer for the probe (9000)"
    )


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    config = preset(options.preset).override(options.set)
    parse_specs(options.data)
    # Loads TensorFlow: only once the options are known to be right.
    from tf_spot.experiments.comparison import Budget, compare, format_comparison
    from tf_spot.progress import show_progress

    with show_progress() as on_progress:
        result = compare(
            config,
            options.data,
            options.out,
            options.methods.split(","),
            seeds=options.seeds,
            budget=Budget(options.budget_images, options.budget_seconds),
            trials=options.trials,
            num_values=options.num_values,
            on_progress=on_progress,
        )
    print(format_comparison(result))
    return result, FAILED if result["failed"] else DONE
