"""Keras for two networks that are trained against each other: an optimizer each, a history, the means of an epoch.

Keras knows one optimizer of a model. Here are the places where the second has to be built, saved and loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.config import PAPER
from tf_spot.distributed.compile_checks import check_compile, fixed_batch, refuse_accumulation
from tf_spot.distributed.replicas import per_replica, step_logs
from tf_spot.errors import UserError
from tf_spot.models.autoencoder import default_optimizer
from tf_spot.models.fit_inputs import IGNORED_BY_COMPILE, IGNORED_BY_FIT, FitInput, images_of, refuse_ignored
from tf_spot.models.history_buffer import History
from tf_spot.models.image_range import check_images
from tf_spot.ops.hardware import form
from tf_spot.ops.registry import LayerOptions, training_images


class AdversarialModel(keras.Model):
    """A discriminator and the network that it judges. Subclasses set both and define `train_step`.

    Attributes:
        discriminator: trained by `optimizer`, so that Keras' callbacks see its rate and its steps.
        repair: trained by `optimizer_of_repair`, which is None where there is nothing to train.
        micro_batches: see `compile`.
        to_images: makes the images of a training batch of what the stream gives.
        trackers: the means of an epoch by name.
        weight_decay: times half the squared norm of the kernels.
        past: the history of corrupt images, None without one.
        batch_size: images in the batches of the history, over all replicas.
        image_shape, mask_shape: of one example of the history.
    """

    discriminator: keras.Model
    repair: keras.Model
    optimizer_of_repair: keras.optimizers.Optimizer  # or None
    weight_decay: float
    past: History | None

    def __init__(self, log_names: Sequence[str], **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(autocast=False, **kwargs)  # the layers inside cast what they are given
        self.trackers = {name: keras.metrics.Mean(name=name) for name in log_names}
        self.micro_batches = 1
        self.batch_size: int | None = None
        self.to_images = training_images

    def compile(
        self,
        discriminator_optimizer: keras.optimizers.Optimizer | str | None = None,
        repair_optimizer: keras.optimizers.Optimizer | str | None = None,
        *,
        micro_batches: int = 1,
        recompute: bool = False,
        **kwargs: Any,
    ) -> None:
        """Like `keras.Model.compile`, with two optimizers; each defaults to the authors' Adam.

        Both are built here: Keras would build the second inside the traced step, which fails under a strategy.

        Args:
            discriminator_optimizer, repair_optimizer: or their names.
            micro_batches: equal parts of a batch, computed one after the other to save memory; each network has one
                update from all of them. Batch norm takes its moments over a micro batch. One device only.
            recompute: compute repair network and frozen decoder again in the backward pass, to save memory.
            kwargs: see `keras.Model.compile`; losses and metrics are the method's own.

        Raises:
            UserError: a loss or metrics, an optimizer that accumulates gradients, or what several replicas cannot do.
        """
        refuse_ignored(kwargs, IGNORED_BY_COMPILE)
        training = PAPER.training
        with self.distribute_strategy.scope():
            first = keras.optimizers.get(
                discriminator_optimizer or default_optimizer(training.discriminator_learning_rate)
            )
            second = keras.optimizers.get(repair_optimizer or default_optimizer(training.repair_learning_rate))
            refuse_accumulation([first, second])
            check_compile(self, [first, second], kwargs.get("steps_per_execution", 1), micro_batches)
            super().compile(optimizer=first, **dict(jit_compile=form().jit_compile) | kwargs)
            self.optimizer_of_repair = second if self.repair.trainable_variables else None
            for optimizer, network in ((first, self.discriminator), (second, self.repair)):
                if not optimizer.built and network.trainable_variables:
                    optimizer.build(network.trainable_variables)
        self.micro_batches, self.repair.recompute = micro_batches, recompute

    def fit(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """Like `keras.Model.fit`; `x` gives images, or (images, labels) of which the labels are not used.

        The first batch is read once more than Keras reads it, to check its shape and range.

        Raises:
            UserError: a history is kept and the batch size is not fixed; images that are not float in [-1, 1]; or the
                replicas cannot share every batch equally.
        """
        refuse_ignored(kwargs, IGNORED_BY_FIT)
        given = FitInput(x, batch_size, kwargs.get("validation_split", 0.0))
        if given.first is not None and self.to_images is training_images:
            check_images(given.first, "x", self.image_shape)
        fixed = fixed_batch(self, x, batch_size)
        if self.past is not None:
            self.prepare_history(given.one_size() or _required(fixed))
        try:
            return super().fit(given.x, y, batch_size, *args, **kwargs)
        except tf.errors.OpError as error:
            mistake = given.mistake()
            if mistake is None:
                raise
            raise mistake from error

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Like `keras.Model.train_on_batch`; arguments and errors as for `fit`."""
        refuse_ignored(kwargs, IGNORED_BY_FIT)
        check_images(images_of(x), "x", self.image_shape)
        if self.past is not None:
            self.prepare_history(len(images_of(x)))
        return super().train_on_batch(x, y, *args, **kwargs)

    def prepare_history(self, batch_size: int) -> None:
        """Make the empty history for batches of `batch_size` images over all replicas."""
        if self.past is None or self.batch_size == batch_size:
            return
        if self.batch_size is not None:
            raise UserError(
                f"the history holds batches of {self.batch_size} images. Received: batches of {batch_size}. Keep the "
                "batch size, or make a new ArtifactSpotter"
            )
        replicas = self.distribute_strategy.num_replicas_in_sync
        if batch_size % replicas:
            raise UserError(f"the batch must divide by the {replicas} replicas. Received: batch_size={batch_size}")
        with self.distribute_strategy.scope():
            self.past.build((batch_size, *self.image_shape), (batch_size, *self.mask_shape))
        self.batch_size = batch_size

    def get_compile_config(self) -> dict[str, Any]:
        if not self.compiled:
            return {}
        settings = {"discriminator_optimizer": self.optimizer, "repair_optimizer": self.optimizer_of_repair}
        settings |= {"micro_batches": self.micro_batches, "recompute": self.repair.recompute}
        return {name: keras.saving.serialize_keras_object(value) for name, value in settings.items()}

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})

    @property
    def image_shape(self) -> tuple[int, int, int]:
        raise NotImplementedError

    @property
    def mask_shape(self) -> tuple[int, int, int]:
        raise NotImplementedError

    @property
    def step(self) -> tf.Tensor:
        """Updates of the discriminator so far: int64 scalar."""
        return tf.convert_to_tensor(self.optimizer.iterations)

    @property
    def metrics(self) -> list[keras.Metric]:
        return list(self.trackers.values())

    def epoch_means(self, logs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Take the scalars of a step into the epoch's means, and return these."""
        for name, value in logs.items():
            self.trackers[name].update_state(value)
        return step_logs({name: self.trackers[name].result() for name in logs})

    def gradients(self, tape: tf.GradientTape, loss: tf.Tensor, variables: list[tf.Variable]) -> list[tf.Tensor]:
        """Return this replica's share of the gradients of a scalar `loss` and of the decay, like the variables."""
        gradients = zip(tape.gradient(loss, variables), variables, strict=True)
        return [per_replica(g + self.weight_decay * v if len(v.shape) > 1 else g) for g, v in gradients]


def _required(batch_size: int | None) -> int:
    if batch_size is None:
        raise UserError(
            "the history needs batches of one fixed size. Received: a dataset whose last batch may be smaller. Use "
            "batch(n, drop_remainder=True), or history_batches=0"
        )
    return batch_size
