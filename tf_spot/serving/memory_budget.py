"""A bound on the bytes that all requests together hold, so that many allowed requests do not fill the memory."""

from __future__ import annotations

from types import TracebackType

from tf_spot.serving.errors import ServingError

ALWAYS_ALLOWED = 256 * 1024  # bytes of each request: ordinary ones are served even while large ones fill the budget


class MemoryBudget:
    """The bytes of requests: as they arrived, and as arrays.

    It lives on one event loop, so it needs no locks.

    Args:
        limit: bytes of all requests at the same time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def share(self) -> Share:
        """Return the share of one request, to be used in `with`: at its end the bytes are free again."""
        return Share(self)


class Share:
    """What one request holds of a budget."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._bytes = 0

    def take(self, count: int) -> None:
        """Take `count` more bytes.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, other requests hold too many.
        """
        budget = self._budget
        if self._bytes + count > ALWAYS_ALLOWED and budget.used + count > budget.limit:
            raise ServingError(
                "RESOURCE_EXHAUSTED",
                f"the requests being served hold {budget.used} of {budget.limit} bytes; try again",
            )
        self._bytes += count
        budget.used += count

    def give_back(self, count: int) -> None:
        """Free `count` bytes before the end."""
        self._bytes -= count
        self._budget.used -= count

    def __enter__(self) -> Share:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back(self._bytes)
