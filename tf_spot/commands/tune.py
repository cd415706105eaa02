"""`tf-spot tune`: search the recipe, by default the drop rate."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, FAILED, Subcommands, add_subcommand
from tf_spot.config import PRESETS, preset
from tf_spot.experiments.search_space import OBJECTIVES, ORACLES, SPACES
from tf_spot.storage.spec import parse_specs


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "tune", run, "search the drop rate, or more of the recipe, with Keras Tuner")
    parser.add_argument("--data", metavar="SPEC", required=True, help="photos; with labels the objective is a probe")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the search; it is continued")
    parser.add_argument("--space", metavar="NAME,...", default="drop_rate", help=f"from {','.join(SPACES)} (drop_rate)")
    parser.add_argument("--oracle", choices=ORACLES, default="grid", help="what proposes the trials (grid)")
    parser.add_argument("--trials", metavar="N", type=int, help="trials at most (the whole grid, else 10)")
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="trainings per trial (1)")
    parser.add_argument(
        "--objective", choices=list(OBJECTIVES), help="what to maximise (probe with labels, else mask_auc)"
    )
    parser.add_argument("--autoencoder", metavar="RUN", type=Path, help="use this run's autoencoder in all trials")
    parser.add_argument("--preset", choices=list(PRESETS), default="small", help="the recipe to start from (small)")
    parser.add_argument(
        "--set", metavar="FIELD=VALUE", action="append", default=[], help="change a field of the recipe"
    )
    parser.add_argument(
        "--num-values", metavar="N", type=int, default=2_048, help="values per layer for the probe (2048)"
    )
    parser.add_argument(
        "--strategy", choices=("auto", "none", "mirrored"), default="auto", help="devices that share a trial"
    )


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    config = preset(options.preset).override(options.set)
    parse_specs(options.data)
    # Loads TensorFlow: only once the options are known to be right.
    from tf_spot.experiments.tuning import format_search, tune
    from tf_spot.progress import show_progress

    with show_progress() as on_progress:
        result = tune(
            config,
            options.data,
            options.out,
            space=options.space.split(","),
            oracle=options.oracle,
            trials=options.trials,
            seeds=options.seeds,
            objective=options.objective,
            autoencoder=options.autoencoder,
            num_values=options.num_values,
            strategy=options.strategy,
            on_progress=on_progress,
        )
    if "worker" in result:
        return result, DONE
    print(format_search(result))
    print(f"best recipe: {options.out / 'config.json'}")
    return result, FAILED if result["failed"] else DONE
