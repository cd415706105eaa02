"""Reading photos in the threads of `tf.data`, and leaving them in order when Python exits."""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Iterator


class Reading:
    """Counts the photos being read, so that Python can wait for them before it exits.

    A thread that comes back to a Python which is shutting down is ended by it, and TensorFlow, when it then closes the
    stream, waits for that thread's photo for ever.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._count, self._last = 0, 0.0  # photos, seconds

    @contextlib.contextmanager
    def photo(self) -> Iterator[None]:
        """Around the reading of a photo.

        Raises:
            RuntimeError: Python exits.
        """
        self._change(1)
        try:
            if self._stopped.is_set():
                raise RuntimeError("Python exits")
            yield
        finally:
            self._change(-1)

    def stop(self, patience: float = 0.1) -> None:
        """Refuses further photos, and returns when none has been asked for in `patience` seconds."""
        self._stopped.set()
        while self._count or time.monotonic() - self._last < patience:
            time.sleep(0.01)

    def _change(self, by: int) -> None:
        with self._lock:
            self._count += by
            self._last = time.monotonic()


READING = Reading()
atexit.register(READING.stop)
