"""`tf-spot ablate`: Table 1 of the paper on one's own photos."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, FAILED, Subcommands, add_subcommand
from tf_spot.config import ABLATIONS, PRESETS, preset
from tf_spot.storage.spec import parse_specs


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "ablate", run, "train the paper's ablations and put them in one table")
    parser.add_argument("--data", metavar="SPEC", required=True, help="labelled photos with a test split")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the table; it is continued")
    parser.add_argument("--rows", metavar="baseline,a,...", default="all", help=f"from {','.join(ABLATIONS)} (all)")
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="trainings per row (1)")
    parser.add_argument("--preset", choices=list(PRESETS), default="small", help="the baseline's recipe (small)")
    parser.add_argument("--set", metavar="FIELD=VALUE", action="append", default=[], help="change a field of every row")
    parser.add_argument(
        "--autoencoder", metavar="RUN", type=Path, help="take its autoencoder for all rows and seeds that it fits"
    )
    parser.add_argument(
        "--num-values", metavar="N", type=int, default=9_000, help="values per layer for the probe (9000)"
    )


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    config = preset(options.preset).override(options.set)
    parse_specs(options.data)
    # Loads TensorFlow: only once the options are known to be right.
    from tf_spot.experiments.ablation import ablate, format_ablation
    from tf_spot.progress import show_progress

    rows = list(ABLATIONS) if options.rows == "all" else options.rows.split(",")
    with show_progress() as on_progress:
        result = ablate(
            config,
            options.data,
            options.out,
            rows,
            seeds=options.seeds,
            num_values=options.num_values,
            autoencoder=options.autoencoder,
            on_progress=on_progress,
        )
    print(format_ablation(result))
    return result, FAILED if result["failed"] else DONE
