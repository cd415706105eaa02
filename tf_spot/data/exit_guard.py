"""Let Python wait for the photos that threads of `tf.data` are reading before it exits."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Iterator


class Reading:
    """Count the photos being read, so that Python can wait for them before it exits.

    A thread that returns to a Python that is shutting down is ended by it. TensorFlow, closing the stream, would then
    wait for that thread's photo for ever.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._count, self._changes = 0, 0  # photos being read; how often that has changed

    @contextlib.contextmanager
    def photo(self) -> Iterator[None]:
        """Enclose the reading of one photo.

        Raises:
            RuntimeError: Python is exiting.
        """
        self._change(1)
        try:
            if self._stopped.is_set():
                raise RuntimeError("Python exits")
            yield
        finally:
            self._change(-1)

    def stop(self, patience: int = 20) -> None:
        """Refuse further photos; return after `patience` short sleeps in which none was started or finished."""
        self._stopped.set()
        # A count of zero is not enough: a reader between two photos has not started its next one yet. Sleeps are
        # counted, not their time: on a busy machine a reader may wait long for a core, and so does this thread.
        quiet, changes = 0, self._changes
        while quiet < patience:
            time.sleep(0.01)
            quiet = quiet + 1 if not self._count and self._changes == changes else 0
            changes = self._changes

    def _change(self, by: int) -> None:
        with self._lock:
            self._count += by
            self._changes += 1


READING = Reading()
atexit.register(READING.stop)
