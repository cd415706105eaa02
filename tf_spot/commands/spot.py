"""`tf-spot spot`: artifact score and heat map of images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, USER_ERROR, Subcommands, add_subcommand
from tf_spot.runs.run import Run
from tf_spot.storage.names import printable


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "spot", run, "artifact score and heat map of images")
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder")
    parser.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="image file")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for overlays and numbers")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    opened = Run(options.run)
    from tf_spot.inference.heat_map import spot_files
    from tf_spot.inference.realness_rank import RealnessRank, realness_rank
    from tf_spot.runs.load import load_spotter

    spotter = load_spotter(opened)
    rank = realness_rank(opened, spotter)
    if isinstance(rank, RealnessRank):
        count, more_real_than = len(rank.scores), rank.more_real_than
    else:
        print(f"tf-spot: no rank among held-out photos: {printable(rank)}", file=sys.stderr)
        count, more_real_than = 0, None
    result: dict[str, Any] = spot_files(spotter, options.images, options.out, more_real_than)
    result["held_out_images"] = count
    for entry in result["images"]:
        share = f"  more real than {entry['more_real_than']:.0%} of {count} held-out photos" if count else ""
        path = printable(entry["path"])
        print(f"score {entry['score']:.3f}{share}  heat map {entry['heat_map_mean']:.3f}  {path}")
    for entry in result["failed"]:
        print(f"tf-spot: {printable(entry['path'])} cannot be read: {printable(entry['reason'])}", file=sys.stderr)
    # One bad file does not stop the others, but a script must see that not all was done.
    return result, USER_ERROR if result["failed"] else DONE
