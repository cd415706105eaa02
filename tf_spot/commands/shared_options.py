"""What all verbs share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from tf_spot.distributed.rendezvous import STRATEGIES, WAIT

DONE, FAILED, USER_ERROR, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143  # exit codes

Run = Callable[[argparse.Namespace], tuple[dict[str, Any], int]]  # options in, figures and exit code out


def verb(verbs: Any, name: str, run: Run, says: str) -> argparse.ArgumentParser:
    """Adds a verb with the options that all have."""
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=says, description=says, allow_abbrev=False)
    parser.set_defaults(verb=run)
    parser.add_argument("--json", action="store_true", help="last line on stdout: every figure as one JSON object")
    parser.add_argument("--debug", action="store_true", help="show the Python trace of an error")
    return parser


def share(parser: argparse.ArgumentParser) -> None:
    """Adds the options that name the devices of a verb."""
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="auto",
        help="what shares each batch: all GPUs if any (auto), one device (none), all devices of this machine "
        "(mirrored), the machines in TF_CONFIG (multiworker)",
    )
    parser.add_argument(
        "--wait", metavar="SECONDS", type=float, default=WAIT, help="how long workers wait for each other at the start"
    )


def format_metrics(figures: dict[str, Any]) -> str:
    """One line a figure; of six digits at most, --json has the others."""
    shown = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in figures.items()}
    return "\n".join(f"{name.replace('_', ' '):26} {value}" for name, value in shown.items())
