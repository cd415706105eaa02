"""`tf-spot embed`: features of many photos as one file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, Subcommands, add_device_options, add_subcommand, format_metrics
from tf_spot.errors import UserError
from tf_spot.runs.run import recipe_of
from tf_spot.storage.spec import parse_specs


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "embed", run, "features of many photos as one Parquet or NumPy file")
    parser.add_argument(
        "run",
        metavar="RUN",
        type=Path,
        help="run folder, one that tf-spot export wrote, or the name of pretrained weights",
    )
    parser.add_argument("--data", metavar="SPEC", required=True, help="photos")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="FILE.parquet or FILE.npz")
    parser.add_argument(
        "--layer", metavar="LAYER", default="conv5", help="conv1 to conv5, averaged over the map (conv5)"
    )
    parser.add_argument("--split", choices=["train", "test", "all"], default="all", help="which photos (all)")
    parser.add_argument("--batch-size", metavar="N", type=int, default=64, help="images at a time (64)")
    parser.add_argument("--resume", action="store_true", help="go on with the job for this file that was stopped")
    add_device_options(parser)


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from tf_spot.inference.embedding_files import check_file  # loads NumPy

    exported = (options.run / "manifest.json").is_file()
    if not exported:
        recipe_of(options.run)
    parse_specs(options.data)
    check_file(options.out)
    if options.strategy == "mirrored" and exported:
        raise UserError(
            f"--strategy mirrored needs a run folder; received: {options.run}, an exported model, which devices cannot "
            "share; leave the option out, or give the run"
        )
    from tf_spot.distributed.strategies import lost_workers, make_strategy
    from tf_spot.inference.embed import embed
    from tf_spot.progress import show_progress

    # Several workers can only be joined before TensorFlow runs anything else.
    strategy = make_strategy(options.strategy, options.wait)
    with lost_workers(strategy), strategy.scope(), show_progress() as on_progress:
        result = embed(
            options.run,
            options.data,
            options.out,
            layer=options.layer,
            split=options.split,
            batch_size=options.batch_size,
            resume=options.resume,
            on_progress=on_progress,
        )
    print(format_metrics(result))
    return result, DONE
