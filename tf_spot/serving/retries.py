"""When a client sends a call again: which errors, how often, after which wait."""

from __future__ import annotations

import random
import time

from tf_spot.serving.errors import ServingError

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0  # seconds between attempts


class Retries:
    """The attempts at one call: how long each may take, and the wait before the next.

    Waits double each time, and are random so that clients do not retry in step.

    Args:
        retries: attempts after the first.
        deadline: of the whole call, by `time.monotonic`.
    """

    def __init__(self, retries: int, deadline: float) -> None:
        self._retries = retries
        self._deadline = deadline
        self._failed = 0
        self._last_error: ServingError | None = None

    def time_left(self) -> float:
        """Return the seconds that the next attempt may take.

        Raises:
            ServingError: DEADLINE_EXCEEDED, there are none.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ServingError("DEADLINE_EXCEEDED", "the call's timeout has passed")
        return left

    def wait_after(self, error: ServingError) -> float:
        """Return the seconds to wait before the next attempt.

        Raises:
            ServingError: there is no next attempt.
        """
        if self._last_error is not None and error.code == "DEADLINE_EXCEEDED":
            raise self._last_error from error  # the server's last answer says more than that the time is up
        self._last_error = error
        if not error.is_temporary or self._failed == self._retries:
            raise error
        longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2**self._failed)
        self._failed += 1
        wait = random.uniform(longest / 2, longest)
        if time.monotonic() + wait >= self._deadline:
            raise error
        return wait
