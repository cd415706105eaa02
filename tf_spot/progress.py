"""Progress of long phases: bars on a terminal, lines now and then elsewhere. Both go to stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

# Called with (done, total, text); the first word of the text names the phase.
Progress = Callable[[int, int, str], None]
SECONDS_BETWEEN_LINES = 60.0


class Display(Protocol):
    """A `Progress` that can also write lines that stay, such as the table of a training."""

    def __call__(self, done: int, total: int, text: str) -> None:
        """Show how far a phase is."""

    def write(self, line: str) -> None:
        """Write a line as it is."""


@contextlib.contextmanager
def show_progress(stream: TextIO | None = None) -> Iterator[Display]:
    """Show progress while the context lasts: bars if the stream is a terminal, plain lines if not.

    Args:
        stream: stderr by default.

    Yields:
        what the long phases call.
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
    """One bar per phase, on a terminal."""

    def __init__(self, bars: RichProgress) -> None:
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}  # by phase

    def __call__(self, done: int, total: int, text: str) -> None:
        phase = text.partition(" ")[0]
        if phase not in self.tasks:
            self.tasks[phase] = self.bars.add_task(text, total=total, completed=done)
        self.bars.update(self.tasks[phase], completed=done, total=total, description=text)

    def write(self, line: str) -> None:
        """Write a line above the bars."""
        self.bars.console.out(line, highlight=False)


class PlainLines:
    """One line with the time left when a phase begins and ends, and at most one a minute between.

    Args:
        stream: receives the lines.
        clock: returns seconds; for tests.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.phase = ""
        # `done` and the time at the start of the phase, and the time of the last line.
        self.first, self.began, self.printed = 0, 0.0, 0.0

    def __call__(self, done: int, total: int, text: str) -> None:
        now, phase = self.clock(), text.partition(" ")[0]
        new = phase != self.phase
        if new:
            self.phase, self.first, self.began = phase, done, now
        if new or done == total or now - self.printed >= SECONDS_BETWEEN_LINES:
            self.printed = now
            self.write(f"{text}: {done}/{total}{self._left(done, total, now)}")

    def write(self, line: str) -> None:
        """Write a line at once, also into a file."""
        print(line, file=self.stream, flush=True)

    def _left(self, done: int, total: int, now: float) -> str:
        # A resumed phase begins at `first`, so the pace is that of this process alone.
        if done == total or done == self.first:
            return ""
        return f", {duration((now - self.began) * (total - done) / (done - self.first))} left"


def duration(seconds: float) -> str:
    """Return seconds as text: `75.2` as `1 min 15 s`, `8000` as `2 h 13 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
