"""A bound on the memory of all pictures that are being decoded at the same time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class MemoryBudget:
    """Let threads share an amount of memory, each waiting until there is room for it.

    Args:
        total: bytes.

    Attributes:
        total: as given.
    """

    def __init__(self, total: int) -> None:
        self.total, self._free = total, total
        self._changed = threading.Condition()
        self._turn = threading.Lock()

    @contextlib.contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Hold `amount` bytes, at most `total`, while the context lasts."""
        with self._turn:  # one waits at a time: many small pictures do not overtake a large one for ever
            with self._changed:
                self._changed.wait_for(lambda: amount <= self._free)
                self._free -= amount
        try:
            yield
        finally:
            with self._changed:
                self._free += amount
                self._changed.notify()
