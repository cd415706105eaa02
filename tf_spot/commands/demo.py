"""`tf-spot demo`: the whole story on photos that ship with Python packages."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.commands.verb import DONE, verb


def add(verbs: Any) -> None:
    parser = verb(verbs, "demo", run, "the whole story on photos that ship with Python packages, in minutes")
    parser.add_argument("--out", metavar="RUN", type=Path, default=Path("demo"), help="run folder to write (demo)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from tf_spot.demo import demo
    from tf_spot.evaluation import format_table
    from tf_spot.progress import progress

    with progress() as sink:
        result = demo(options.out, sink)
    print(format_table(result))
    print(f"\nlook at {options.out / 'report.html'}: tables, curves, pictures, heat maps")
    return result, DONE
