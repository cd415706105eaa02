"""How long phases tell how far they are: a bar on a terminal, else a line now and then. Both on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

Progress = Callable[[int, int, str], None]  # done, total, text
SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def show_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """Opens a on_progress to be told `(done, total, text)`, where the first word of `text` names the phase.

    Args:
        stream: stderr by default; a bar if it is a terminal, plain lines if not.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        yield PlainLines(stream)
        return
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
        rich_progress.TextColumn("left"),
    )
    with rich_progress.Progress(*columns, console=Console(file=stream)) as bars:
        yield Bars(bars)


class Bars:
    """One bar a phase, on a terminal."""

    def __init__(self, bars: Any) -> None:
        self.bars = bars
        self.tasks: dict[str, Any] = {}

    def __call__(self, done: int, total: int, text: str) -> None:
        phase = text.partition(" ")[0]
        if phase not in self.tasks:
            self.tasks[phase] = self.bars.add_task(text, total=total, completed=done)
        self.bars.update(self.tasks[phase], completed=done, total=total, description=text)


class PlainLines:
    """A line with the time left when a phase begins and ends, and at most every ten seconds between.

    Args:
        stream: where lines go.
        clock: seconds; for tests.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.phase = ""
        self.first, self.began, self.told = 0, 0.0, 0.0

    def __call__(self, done: int, total: int, text: str) -> None:
        now, phase = self.clock(), text.partition(" ")[0]
        new = phase != self.phase
        if new:
            self.phase, self.first, self.began = phase, done, now
        if new or done == total or now - self.told >= SECONDS_BETWEEN_LINES:
            self.told = now
            print(f"{text}: {done}/{total}{self._left(done, total, now)}", file=self.stream, flush=True)

    def _left(self, done: int, total: int, now: float) -> str:
        if done == total or done == self.first:
            return ""
        return f", {duration((now - self.began) * (total - done) / (done - self.first))} left"


def duration(seconds: float) -> str:
    """`75.2` as `1 min 15 s`; `8000` as `2 h 13 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
