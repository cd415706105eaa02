"""`tf-spot doctor`: what is there, and what is missing for which extra."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.commands.verb import DONE, FAILED, verb


def add(verbs: Any) -> None:
    parser = verb(verbs, "doctor", run, "tell versions, devices, free disk, and what is missing for which extra")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path(), help="where runs will be written (here)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from tf_spot.doctor import examine, format_findings

    found = examine(options.out)
    print(format_findings(found))
    return found, FAILED if found["problems"] else DONE
