"""Progress of work that consists of several rounds of equal size."""

from __future__ import annotations

from tf_spot.progress import Progress


class WorkProgress:
    """Report rounds of work, such as folds or methods, to one `Progress`.

    Args:
        on_progress: called with `(done, total, text)`, in units; None: nothing is reported.
        rounds: how many there are.
        round_size: units of one round.
    """

    def __init__(self, on_progress: Progress | None, rounds: int = 1, round_size: int = 1_000) -> None:
        self.on_progress, self.round_size = on_progress, round_size
        self.total = rounds * round_size
        self.text = ""
        self._finished = 0  # rounds
        self._done = 0.0  # units of the current round

    def begin(self, text: str) -> None:
        """Begin a round; the first word of `text` names its phase."""
        self.text = text
        self.share_done(0.0)

    def advance(self, units: float) -> None:
        """Count `units` more of the current round as done."""
        self._done += units
        self._report()

    def share_done(self, share: float) -> None:
        """Set the share of the current round that is done."""
        self._done = share * self.round_size
        self._report()

    def end(self) -> None:
        """End the current round, whether it was done step by step or found finished."""
        self._finished, self._done = self._finished + 1, 0.0
        self._report()

    def _report(self) -> None:
        if self.on_progress is not None:
            self.on_progress(round(self._finished * self.round_size + self._done), self.total, self.text)
