"""`tf-spot completion`: print the script by which a shell completes subcommands, options and file names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, Subcommands, add_subcommand

SHELLS = ("bash", "zsh", "fish")


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(
        subcommands, "completion", run, 'print a script for your shell, as in: eval "$(tf-spot completion bash)"'
    )
    parser.add_argument("shell", choices=SHELLS, help="bash, zsh or fish")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    import shtab

    # shtab reads the parser's own description; a path is the one type that a shell can complete by itself.
    for action in _actions(options.parser):
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab looks for it
    script = shtab.complete(options.parser, shell=options.shell)
    print(script)
    return {"shell": options.shell, "script": script}, DONE


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield every option and argument of `parser` and of its subcommands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _actions(subparser)
