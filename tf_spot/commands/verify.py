"""`tf-spot verify`: is an exported folder whole, and does its artifact answer as the model did."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, format_metrics, verb


def add(verbs: Any) -> None:
    parser = verb(verbs, "verify", run, "check an exported folder: sums, and answers beside the model's")
    parser.add_argument("folder", metavar="DIR", type=Path, help="what tf-spot export wrote")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from tf_spot.exporters import verify

    figures = verify(options.folder)
    print(format_metrics(figures))
    return figures, DONE
