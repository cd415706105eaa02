"""Turn Ctrl-C and SIGTERM into an orderly stop at a safe point of a training."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

from tf_spot.training.callbacks import Checkpoints, SafePoint
from tf_spot.training.position import Position


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM stopped the training.

    Args:
        signal_number: of the signal that was received.
        saved: whether the work was saved before.

    Attributes:
        signal_number: as given.
        exit_code: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, signal_number: int, saved: bool = False) -> None:
        name = signal.Signals(signal_number).name
        repeat = "repeat the command to go on (train: with --resume, without --extend)"
        goes_on = f"; the work is saved; {repeat}" if saved else ""
        super().__init__(f"stopped by {name}{goes_on}")
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number  # the shells' convention


class Signals:
    """Turn Ctrl-C and SIGTERM into `Interrupted`: during training after the work is saved, else at once.

    A second signal interrupts immediately. Python delivers signals to the main thread only; elsewhere this does
    nothing.

    Attributes:
        received: the signal that training is to stop for, None without one.
        training: True while `fit` runs and `StopOnSignal` watches.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.training = False
        self._before: dict[int, Any] = {}  # the handlers to put back

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        # Nothing is at stake outside training, and a second signal means that the user does not want to wait.
        if self.received is not None or not self.training:
            raise Interrupted(number)
        self.received = number


@contextlib.contextmanager
def saved_when_stopped(signals: Signals, checkpoint: Checkpoints) -> Iterator[None]:
    """Let signals wait for `StopOnSignal` in this block, and wait for what was begun to be written at its end."""
    signals.training = True
    try:
        yield
    finally:
        signals.training = False
        checkpoint.wait()  # also after an error: what was begun before it is good


class StopOnSignal(SafePoint):
    """Save and stop at the first safe point after a signal. Last in the list.

    Args:
        position: of the stage.
        signals: notes what this process receives.
        checkpoint: saves.
        of_all: this worker's signal number, 0 without one, to those of all workers: a signal to one of them stops all
            at the same step.

    Raises:
        Interrupted: after saving.
    """

    def __init__(
        self,
        position: Position,
        signals: Signals,
        checkpoint: Checkpoints,
        of_all: Callable[[int], list[int]] = lambda number: [number],
    ) -> None:
        super().__init__(position)
        self.signals, self.checkpoint, self.of_all = signals, checkpoint, of_all

    def at_safe_point(self) -> None:
        # Every worker asks at every safe point, as the question itself is a collective operation.
        received = max(self.of_all(self.signals.received or 0))
        if received:
            self.checkpoint.save()
            self.checkpoint.wait()
            raise Interrupted(received, saved=True)
