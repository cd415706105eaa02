"""`tf-spot neighbours`: the photos nearest to some images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, Subcommands, add_subcommand
from tf_spot.runs.run import recipe_of
from tf_spot.storage.names import printable
from tf_spot.storage.spec import parse_specs


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(
        subcommands, "neighbours", run, "the photos nearest to some images, by learned, random and pixel features"
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder, or the name of pretrained weights")
    parser.add_argument("--data", metavar="SPEC", required=True, help="photos to search")
    parser.add_argument("--query", metavar="IMAGE", type=Path, nargs="+", required=True, help="image file")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for the picture and the numbers")
    parser.add_argument("--count", metavar="N", type=int, default=8, help="neighbours of each query (8)")
    parser.add_argument(
        "--layer", metavar="LAYER", default="conv5", help="conv1 to conv5, averaged over the map (conv5)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the backbone at random weights (0)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    recipe_of(options.run)
    parse_specs(options.data)
    from tf_spot.inference.neighbours import neighbours
    from tf_spot.progress import show_progress

    with show_progress() as on_progress:
        result = neighbours(
            options.run,
            options.data,
            options.query,
            options.out,
            count=options.count,
            layer=options.layer,
            seed=options.seed,
            on_progress=on_progress,
        )
    # The controls are in the files and in --json.
    for entry in result["queries"]:
        near = ", ".join(f"{hit['path']} {hit['similarity']:.3f}" for hit in entry["learned"])
        print(printable(f"{entry['query']}: {near}"))
    return result, DONE
