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
        self._count, self._last = 0, 0.0  # photos being read; time of the last change, seconds

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

    def stop(self, patience: float = 0.1) -> None:
        """Refuse further photos; return when none was started or finished for `patience` seconds."""
        self._stopped.set()
        # A count of zero is not enough: a reader between two photos has not started its next one yet.
        while self._count or time.monotonic() - self._last < patience:
            time.sleep(0.01)

    def _change(self, by: int) -> None:
        with self._lock:
            self._count += by
            self._last = time.monotonic()


READING = Reading()
atexit.register(READING.stop)
