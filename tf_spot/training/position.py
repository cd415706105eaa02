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
    images_ahead: int = 0  # images seen, less those of as many steps at this batch size: of steps at another one
    rate: float = math.nan  # images per second, over the last steps
    executed: int = 1  # steps that the last execution did: several, if they are a loop in the graph
    check_steps: int = 1  # steps between two looks at the losses, each of which waits for the device
    checkpoint_steps: int | None = None  # steps between two checkpoints; None: there are none

    @property
    def images_seen(self) -> int:
        """Images of all steps done, also of those that had another batch size."""
        return self.step * self.batch_size + self.images_ahead

    @property
    def epoch(self) -> int:
        """Epochs done or under way; 1 during the first."""
        return -(-self.step // self.steps_per_epoch)

    @property
    def at_epoch_end(self) -> bool:
        """True after the last step of an epoch; the last epoch may be shorter than the others."""
        return self.step % self.steps_per_epoch == 0 or self.step == self.total_steps

    @property
    def at_checkpoint(self) -> bool:
        """True after a step whose checkpoint is due: every so many steps, and at the end."""
        every = self.checkpoint_steps
        return every is not None and (self.step % every == 0 or self.step == self.total_steps)

    @property
    def at_check(self) -> bool:
        """True if the losses are to be looked at: every so many steps, and before a checkpoint or the epoch's end."""
        passed = self.step // self.check_steps > (self.step - self.executed) // self.check_steps
        return passed or math.isnan(self.rate) or self.at_epoch_end or self.at_checkpoint

    def next_fit(self) -> dict[str, int]:
        """Return what the next call of `fit` is to do, as its arguments.

        That is the rest of a broken-off epoch, then all whole epochs at once, then a last shorter one.
        """
        epoch, done = divmod(self.step, self.steps_per_epoch)
        left = self.total_steps - self.step
        whole = 0 if done else left // self.steps_per_epoch
        steps = min(self.steps_per_epoch - done, left)
        return {"initial_epoch": epoch, "epochs": epoch + max(1, whole), "steps_per_epoch": steps}

    def every(self, epochs: int) -> bool:
        """True if the epoch that has just ended is one of every `epochs`, or the last."""
        return self.epoch % epochs == 0 or self.step == self.total_steps
