"""Turn Ctrl-C and SIGTERM into an orderly stop at a safe point of a training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tf_spot.training.callbacks import CheckpointEverySteps, Position, SafePoint


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM stopped the training; the work is saved.

    Attributes:
        signal_number: what was received.
        exit_code: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}; the work is saved; go on with --resume")
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


class Signals:
    """Turns Ctrl-C and SIGTERM into `Interrupted`, while training after the work is saved.

    A second signal is not waited with. Python lets only the main thread listen; elsewhere this does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.training = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: Any) -> None:
        if self.received is not None or not self.training:
            raise Interrupted(number)
        self.received = number


class StopOnSignal(SafePoint):
    """Saves and stops at the first safe point after a signal. Last in the list.

    Args:
        of_all: the number that each worker gives, 0 for no signal: one that gets a signal stops all at one step.

    Raises:
        Interrupted: after saving.
    """

    def __init__(
        self,
        position: Position,
        signals: Signals,
        checkpoint: CheckpointEverySteps,
        of_all: Callable[[int], list[int]] = lambda number: [number],
    ) -> None:
        super().__init__(position)
        self.signals, self.checkpoint, self.of_all = signals, checkpoint, of_all

    def at_safe_point(self) -> None:
        received = max(self.of_all(self.signals.received or 0))
        if received:
            self.checkpoint.save()
            raise Interrupted(received)
