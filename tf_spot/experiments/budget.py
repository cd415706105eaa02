"""What every method of a comparison may spend, and how many steps that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from tf_spot.config import Config, TrainingConfig
from tf_spot.data.source import Source
from tf_spot.errors import UserError
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.progress import Progress
from tf_spot.training.callbacks import CountSteps
from tf_spot.training.position import Position

# Steps timed to predict how many a number of seconds holds; their median leaves out the first, slow ones.
TRIAL_STEPS = 15


@dataclass(frozen=True)
class Budget:
    """A number of images, each counted every time a batch holds it, or of seconds spent in training steps.

    Args:
        images: at least two batches.
        seconds: above 0.

    Raises:
        UserError: both are given, or one is not above 0.
    """

    images: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.images, self.seconds) if value is not None]
        if len(given) > 1 or any(value <= 0 for value in given):
            raise UserError(
                "a budget must be either a number of images or a number of seconds, above 0; received: "
                f"images={self.images}, seconds={self.seconds}"
            )

    def __str__(self) -> str:
        return f"{self.images:,} images" if self.seconds is None else f"{self.seconds:g} seconds"

    def or_recipe(self, training: TrainingConfig) -> Budget:
        """Return the budget itself or, where it names nothing, the images of the recipe's two stages.

        Raises:
            UserError: fewer images than two batches.
        """
        if self.images is None and self.seconds is None:
            return Budget(images=training.batch_size * (training.autoencoder_steps + training.spotter_steps))
        if self.images is not None:
            whole_steps(self.images, training)
        return self


def whole_steps(images: int, training: TrainingConfig) -> int:
    """Return the whole batches in a number of images.

    Raises:
        UserError: fewer than two, as both stages of the spotter need one.
    """
    if images < 2 * training.batch_size:
        raise UserError(
            f"--budget-images must be two batches at least, here {2 * training.batch_size} images; received: {images}; "
            "raise it or lower training.batch_size"
        )
    return images // training.batch_size


def two_stages(config: Config, budget: Budget, source: Source) -> Config:
    """Return the recipe with the steps of both stages scaled by one factor, so that together they spend the budget."""
    training = config.training
    steps = {"autoencoder": training.autoencoder_steps, "spotter": training.spotter_steps}
    if budget.images is not None:
        factor = whole_steps(budget.images, training) / sum(steps.values())
    else:
        batches = source.unlabelled(training.batch_size, seed=training.seed)
        autoencoder = build_autoencoder(config)
        # Timed before the spotter is built, which freezes the autoencoder.
        seconds = {"autoencoder": seconds_per_step(autoencoder, batches, training.batch_size)}
        spotter = build_spotter(config, autoencoder)
        seconds["spotter"] = seconds_per_step(spotter, batches, training.batch_size)
        factor = (budget.seconds or 0) / sum(steps[stage] * seconds[stage] for stage in steps)
    # Each stage keeps at least one step, however small the budget.
    first = max(1, round(factor * steps["autoencoder"]))
    both = max(first + 1, round(factor * sum(steps.values())))
    return config.replace(**{"training.autoencoder_steps": first, "training.spotter_steps": both - first})


def seconds_per_step(model: keras.Model, batches: tf.data.Dataset, batch_size: int) -> float:
    """Return the median time of a few training steps, which do train the model."""
    # One epoch without checkpoints or records: nothing but the step itself is timed.
    position = Position("trial", TRIAL_STEPS, TRIAL_STEPS, batch_size)
    callbacks = [CountSteps(position)]
    model.fit(batches, steps_per_epoch=TRIAL_STEPS, epochs=1, callbacks=callbacks, shuffle=False, verbose=0)
    return batch_size / position.rate


class StopByClock(keras.callbacks.Callback):
    """Stops a training once its steps have taken a number of seconds. Must come after `CountSteps`.

    Args:
        position: of the training; its number of steps becomes the number done once the time is over.
        seconds: allowed.
        on_progress: called with (seconds done, seconds, text) after every step.
    """

    def __init__(self, position: Position, seconds: float, on_progress: Progress | None) -> None:
        super().__init__()
        self.position, self.seconds, self.on_progress = position, seconds, on_progress

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        at = self.position
        if self.on_progress is not None:
            done = min(round(at.seconds), round(self.seconds))
            self.on_progress(done, round(self.seconds), f"{at.stage} seconds ({at.rate:.0f} images/s)")
        if at.seconds >= self.seconds:
            # `stop_training` ends this `fit`; without the second line another one would begin.
            at.total_steps = at.step
            self.model.stop_training = True
