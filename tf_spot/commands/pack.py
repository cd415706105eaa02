"""`tf-spot pack`: pack many photos into few large files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, FAILED, Subcommands, add_subcommand, format_metrics
from tf_spot.errors import UserError
from tf_spot.storage.names import printable
from tf_spot.storage.spec import parse_specs

LARGEST = 1_000_000  # pixels: no photo is larger, so none is shrunk when it is read


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "pack", run, "many photos into few large files, to be read as shards:DIR")
    parser.add_argument("--data", metavar="SPEC", help="any photos but tfds:, see docs/own-data.md")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder for the shards; a pack begun there goes on")
    parser.add_argument(
        "--shard-mb", metavar="N", type=float, default=256.0, help="size of a shard in megabytes, about (256)"
    )
    parser.add_argument("--workers", metavar="N", type=int, help="shards written at the same time (as many as cores)")
    parser.add_argument("--strict", action="store_true", help="stop at the first photo that cannot be read")
    parser.add_argument("--verify", metavar="DIR", type=Path, help="only compare a finished pack with its checksums")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    if options.verify is not None:
        return _verify(options)
    if options.data is None or options.out is None:
        raise UserError("pack needs --data SPEC and --out DIR, or --verify DIR alone; received: not both")
    parse_specs(options.data)
    from tf_spot.data import load
    from tf_spot.data.shard_writer import pack
    from tf_spot.progress import show_progress

    source = load(options.data, image_size=LARGEST)
    with show_progress() as on_progress:
        index = pack(
            source,
            options.out,
            shard_mb=options.shard_mb,
            workers=options.workers,
            strict=options.strict,
            on_progress=on_progress,
        )
    shards = index["shards"]
    result = {**index["splits"], "shards": len(shards), "bytes": sum(shard["bytes"] for shard in shards)}
    result["bad_files"] = index["bad_files"]
    print(format_metrics(result))
    if index["bad_files"]:
        print(f"tf-spot: unreadable photos are listed in {options.out / 'bad_files.txt'}", file=sys.stderr)
    return result, DONE


def _verify(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Compare a finished pack with its checksums."""
    if options.data is not None or options.out is not None:
        raise UserError("--verify DIR must stand alone; received: --data or --out with it; leave them out")
    from tf_spot.data.shard_writer import verify
    from tf_spot.progress import show_progress

    with show_progress() as on_progress:
        damaged = verify(options.verify, on_progress)
    print("\n".join(map(printable, damaged.values())) or "every shard is as it was packed")
    return {"damaged": damaged}, FAILED if damaged else DONE
