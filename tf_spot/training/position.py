"""Where a stage of training stands; all its callbacks read one shared position."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass
class Position:
    """Where a stage stands."""

    stage: str
    total_steps: int
    steps_per_epoch: int
    batch_size: int  # of the global batch
    step: int = 0  # steps done
    seconds: float = 0.0  # spent in steps, over all sessions
    rate: float = math.nan  # images per second, over the last steps

    @property
    def epoch(self) -> int:
        """Epochs done or under way; 1 during the first."""
        return -(-self.step // self.steps_per_epoch)

    @property
    def at_epoch_end(self) -> bool:
        """True after the last step of an epoch; the last epoch may be shorter than the others."""
        return self.step % self.steps_per_epoch == 0 or self.step == self.total_steps

    def every(self, epochs: int) -> bool:
        """True if the epoch that has just ended is one of every `epochs`, or the last."""
        return self.epoch % epochs == 0 or self.step == self.total_steps
