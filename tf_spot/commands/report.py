"""`tf-spot report`: write the HTML page of a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, Subcommands, add_subcommand
from tf_spot.runs.run import Run


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "report", run, "write RUN/report.html, one self-contained page")
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    opened = Run(options.run)
    from tf_spot.report import report

    path = report(opened.path)
    print(path)
    return {"report": str(path)}, DONE
