"""`tf-spot verify`: check that an exported folder is complete and that its artifact agrees with the model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, Subcommands, add_subcommand, format_metrics
from tf_spot.errors import UserError


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(
        subcommands, "verify", run, "check an exported folder: sums, and answers beside the model's"
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="what tf-spot export wrote")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Verify and return the printed metrics and the exit code."""
    if not (options.folder / "manifest.json").is_file():
        raise UserError(
            f"verify needs what tf-spot export wrote, a folder with manifest.json; received: {options.folder}"
        )
    from tf_spot.exporters import verify

    metrics = verify(options.folder)
    print(format_metrics(metrics))
    return metrics, DONE
