"""The command line: `tf-spot SUBCOMMAND ...`.

TensorFlow takes seconds to import, so each subcommand imports what it needs when it runs. Results go to stdout;
progress, logs and errors go to stderr.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from tf_spot import __version__
from tf_spot.commands.shared_options import BROKEN_PIPE, INTERRUPTED, TERMINATED
from tf_spot.faults import told_in_a_line
from tf_spot.startup import require_tensorflow

# Files of tf_spot/commands, in the order of --help.
SUBCOMMANDS = (
    "demo",
    "train",
    "evaluate",
    "ablate",
    "compare",
    "tune",
    "spot",
    "report",
    "export",
    "verify",
    "serve",
    "pack",
    "embed",
    "neighbours",
    "doctor",
    "completion",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        arguments: what follows `tf-spot`; by default the arguments of the process.

    Returns:
        the exit code: 0 done, 1 rows failed or a problem found, 2 a user's mistake or a fault of the machine, 130 after
        Ctrl-C, 141 when nobody reads the output any more, 143 after SIGTERM.
    """
    previous = signal.signal(signal.SIGTERM, _terminate)
    options = argparse.Namespace(debug=False)
    _print_any_name()
    try:
        try:
            options = build_parser().parse_args(arguments)
            return _run(options)
        finally:
            sys.stdout.flush()  # here, where an error is still told
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except KeyboardInterrupt as stop:  # training's `Interrupted` too, which has the exit code of its signal
        print(f"tf-spot: {str(stop) or 'stopped by Ctrl-C'}", file=sys.stderr)
        return getattr(stop, "exit_code", INTERRUPTED)
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        told = told_in_a_line(error)
        print(f"tf-spot: {told.line}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # it is the output's own disk that is full
            _discard_output()
        return told.code
    finally:
        signal.signal(signal.SIGTERM, previous)


def _run(options: argparse.Namespace) -> int:
    """Run the subcommand and print its metrics if they are wanted; return the exit code."""
    logging.basicConfig(format="%(name)s: %(message)s", handlers=[_ToStderr()])
    require_tensorflow()
    metrics, code = options.subcommand(options)
    if options.json:
        print(json.dumps(metrics))
    return int(code)


class _ToStderr(logging.Handler):
    """Write log lines to what stderr is at the time: while bars are shown, a stream that writes above them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


def _discard_output() -> None:
    """Let what is left of the output go nowhere: Python writes it when it exits, and would tell the error again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_any_name() -> None:
    """Let every name of a file be printed: what the terminal's encoding lacks is spelled out."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Terminated(KeyboardInterrupt):
    """SIGTERM, raised where Ctrl-C would be, so that both clean up alike."""

    exit_code = TERMINATED


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated("stopped by SIGTERM")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `tf-spot` with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="tf-spot", description="Learn image features without labels by spotting artifacts.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"tf-spot {__version__}")
    subcommands = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND", required=True)
    for name in SUBCOMMANDS:
        importlib.import_module(f"tf_spot.commands.{name}").add(subcommands)
    parser.set_defaults(parser=parser)  # for `completion`, which describes them all to a shell
    return parser
