"""What all subcommands share: how they are declared, the options of several of them, exit codes, printed metrics."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from tf_spot.distributed.rendezvous import STRATEGIES, WAIT

DONE, FAILED, USER_ERROR, INTERRUPTED, BROKEN_PIPE, TERMINATED = 0, 1, 2, 130, 141, 143  # exit codes

# The class is private and generic for type checkers only, hence the quotes.
Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run = Callable[[argparse.Namespace], tuple[dict[str, Any], int]]  # options to metrics and exit code


class StoreOnce(argparse._StoreAction):
    """Store the value of an option, and refuse the option a second time: one of the two would be ignored."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Store `values`, once for every parsing."""
        given = vars(namespace).setdefault("given", set())
        if option_string is not None and self.dest in given:
            parser.error(f"argument {option_string}: must be given once; received: twice")
        given.add(self.dest)
        super().__call__(parser, namespace, values, option_string)


def add_subcommand(subcommands: Subcommands, name: str, run: Run, description: str) -> argparse.ArgumentParser:
    """Add a subcommand with the options that every subcommand has.

    Args:
        subcommands: of the parser of `tf-spot`.
        name: the word after `tf-spot`.
        run: executes the subcommand and returns what `--json` prints and the exit code.
        description: one line for `--help`.
    """
    parser = subcommands.add_parser(name, help=description, description=description, allow_abbrev=False)
    for kind in (None, "store"):  # None: an option without `action`
        parser.register("action", kind, StoreOnce)
    parser.set_defaults(subcommand=run)
    parser.add_argument("--json", action="store_true", help="last line on stdout: all metrics as one JSON object")
    parser.add_argument("--debug", action="store_true", help="show the Python trace of an error")
    return parser


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Add `--strategy` and `--wait`, which choose the devices a subcommand computes on."""
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="auto",
        help="devices that share each batch: all GPUs if there are any (auto), one device (none), all devices of this "
        "machine (mirrored), the machines in TF_CONFIG (multiworker)",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=float,
        default=WAIT,
        help="how long workers wait for each other at the start (%(default)g)",
    )


def format_metrics(metrics: Mapping[str, object]) -> str:
    """Return one line per metric, floats with six digits at most; `--json` prints all of them."""
    shown = {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in metrics.items()}
    return "\n".join(f"{name.replace('_', ' '):26} {value}" for name, value in shown.items())
