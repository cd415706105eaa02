"""`tf-spot train`: train both stages on photos without labels."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, Subcommands, add_device_options, add_subcommand, format_metrics
from tf_spot.config import CACHES, PRESETS, TRACKERS, Config, preset
from tf_spot.errors import UserError
from tf_spot.runs.run import Run, longer
from tf_spot.storage.spec import SEPARATOR, parse_specs
from tf_spot.training.trackers.choice import check_tracker


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "train", run, "train both stages on photos without labels")
    parser.add_argument(
        "--data",
        metavar="SPEC",
        required=True,
        action="append",
        help="a folder or list of photos, photos, or stl10:, places:, tfds:, hf:, wds: or shards:WHERE; repeated: "
        "their union",
    )
    parser.add_argument("--out", metavar="RUN", type=Path, required=True, help="run folder to write")
    recipe = parser.add_mutually_exclusive_group()
    recipe.add_argument("--preset", choices=list(PRESETS), help="recipe (default: stl10)")
    recipe.add_argument("--config", metavar="FILE", type=Path, help="a recipe as a run or a search writes it")
    parser.add_argument(
        "--set", metavar="FIELD=VALUE", action="append", default=[], help="change a field: --set game.drop_rate=0.7"
    )
    parser.add_argument(
        "--autoencoder", metavar="RUN", type=Path, help="take the trained autoencoder of another run, skip stage 1"
    )
    parser.add_argument(
        "--init-from",
        metavar="RUN",
        help="begin with the weights of another run or of a pretrained backbone, as far as they fit",
    )
    parser.add_argument(
        "--recompute", action="store_true", help="less memory for more time: --set training.recompute=true"
    )
    parser.add_argument(
        "--cache",
        choices=CACHES,
        default="auto",
        help="keep the decoded photos in the GPU's memory, in the host's or nowhere (default: where they fit)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN")
    parser.add_argument(
        "--extend", metavar="STEPS", type=int, default=0, help="with --resume: train stage 2 for so many steps more"
    )
    parser.add_argument(
        "--tracker",
        choices=TRACKERS,
        help="record configuration and metrics in Weights & Biases or MLflow too; --resume goes on there",
    )
    add_device_options(parser)
    parser.add_argument("--strict", action="store_true", help="an unreadable photo is an error")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    config = _config(options)
    check_tracker(options.tracker)
    spec = SEPARATOR.join(options.data)
    parse_specs(spec)
    if options.autoencoder is not None:
        Run(options.autoencoder)
    if not options.resume:
        Run.check_new(options.out)
    # Loads TensorFlow: only once the options are known to be right.
    from tf_spot.distributed.strategies import make_strategy
    from tf_spot.progress import show_progress
    from tf_spot.training.epoch_table import EpochTable
    from tf_spot.training.train import train

    plan: dict[str, str | int] = {}

    def show_plan(numbers: dict[str, str | int]) -> None:
        plan.update(numbers)
        print(format_metrics(numbers), file=sys.stderr, flush=True)

    strategy = make_strategy(options.strategy, options.wait)  # that of several workers must come first of all
    with show_progress() as display:
        train(
            config,
            spec,
            options.out,
            resume=options.resume,
            extend=options.extend,
            strict=options.strict,
            autoencoder=options.autoencoder,
            init_from=options.init_from,
            strategy=strategy,
            cache=options.cache,
            tracker=options.tracker,
            on_progress=display,
            on_epoch=EpochTable(display.write, longer(config, options.extend)),
            on_plan=show_plan,
        )
    last = Run(options.out).metrics()[-1]
    print(format_metrics({"run": str(options.out)} | last))
    return {"run": str(options.out), "plan": plan, "last": last}, DONE


def _config(options: argparse.Namespace) -> Config:
    """Return the preset with its changes; with --resume the saved configuration, which the options may repeat."""
    changes = [*options.set, *(["training.recompute=true"] if options.recompute else [])]
    saved_path = options.out / "config.json"
    if not (options.resume and saved_path.is_file()):
        recipe = Config.load(options.config) if options.config else preset(options.preset or "stl10")
        return recipe.override(changes)
    saved = Config.load(saved_path)
    if options.preset not in (None, saved.preset):
        raise UserError(
            f"--resume uses the run's preset, {saved.preset}; received: --preset {options.preset}; leave it out"
        )
    return saved.override(changes)
