"""Connections over REST: how many, and how long one may be idle; and an event loop that has no descriptors left."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import sys
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from tf_spot.serving.errors import log_internal

log = logging.getLogger(__name__)

IDLE_SECONDS = 30.0  # without a request under way
MAX_CONNECTIONS = 1024
_CHECKED_EVERY, _SHORTEST_WAIT = 5.0, 1.0  # seconds
_READ_BYTES = 16 * 1024  # at once: a body in chunks of one byte would hold up the loop for longer
_LOGGED_EVERY = 10.0  # seconds
_NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Connection(H11Protocol):
    """uvicorn's connection, closed when no request comes for `IDLE_SECONDS`, or comes too slowly, or no answer is read.

    uvicorn itself waits for ever for the first request, for the end of a request's head, and for an answer to be read.
    """

    idle_seconds = IDLE_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > max_connections():
            transport.abort()
            return
        transport.max_size = _READ_BYTES  # type: ignore[attr-defined]
        self._idle_since = time.monotonic()
        self._unsent = sys.maxsize  # bytes of answers, when they were last looked at
        self._watch()

    def on_response_complete(self) -> None:
        self._idle_since, self._unsent = time.monotonic(), sys.maxsize
        super().on_response_complete()

    def _watch(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        left = self._idle_since + self.idle_seconds - time.monotonic()
        if is_idle and left <= 0:
            # Closing waits until all is sent: a client that reads nothing would keep the answer in memory for ever.
            unsent = self.transport.get_write_buffer_size()
            if unsent >= self._unsent:
                self.transport.abort()
                return
            if not unsent:
                self.transport.close()
                return
            self._unsent = unsent
        wait = min(max(left, _SHORTEST_WAIT), _CHECKED_EVERY) if is_idle else _CHECKED_EVERY
        self._watching = self.loop.call_later(wait, self._watch)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if hasattr(self, "_watching"):
            self._watching.cancel()


def max_connections() -> int:
    """Return how many connections may be open: half of the descriptors at most, the model and gRPC need some too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


class OneLineErrors:
    """An exception handler of an event loop: one line for each error, and no flood while descriptors are exhausted."""

    def __init__(self) -> None:
        self._last = -_LOGGED_EVERY

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _NO_RESOURCES:
            # asyncio reports this for every waiting connection, thousands of times a second.
            if time.monotonic() - self._last >= _LOGGED_EVERY:
                self._last = time.monotonic()
                log.warning("no new connection can be accepted: %s; see ulimit -n", error.strerror)
        elif isinstance(error, Exception):
            log_internal(log, "the event loop", error)
        else:
            log.error("%s", context.get("message"))
