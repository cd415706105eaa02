"""Stage 1: an autoencoder learns to copy photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.config import ENCODER_CHANNELS, PAPER
from tf_spot.distributed.compile_checks import check_compile, fixed_batch
from tf_spot.distributed.replicas import per_replica, step_logs
from tf_spot.errors import UserError
from tf_spot.models.backbones.base import scaled
from tf_spot.models.fit_inputs import IGNORED_BY_COMPILE, IGNORED_BY_FIT, FitInput, refuse_ignored
from tf_spot.models.gradient_accumulation import MicroBatches
from tf_spot.models.image_range import check_images
from tf_spot.models.losses import reconstruction_loss, weight_penalty
from tf_spot.models.networks import Decoder, Encoder, encoder_channels
from tf_spot.ops.fused_adam import FusedAdam
from tf_spot.ops.hardware import form
from tf_spot.ops.registry import LayerOptions, TrainingData, register, training_images


def default_optimizer(
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
) -> keras.optimizers.Optimizer:
    """Make Adam with the authors' beta_1 and epsilon."""
    training = PAPER.training
    return FusedAdam(learning_rate, beta_1=training.adam_beta_1, epsilon=training.adam_epsilon)


@register
class Autoencoder(keras.Model):
    """Encoder and decoder, trained with the squared error of the copy.

    Args:
        image_size: pixels, a multiple of 2^levels.
        width: factor on the channel counts of the paper.
        levels: stride-2 layers of the encoder; an encoding has image_size / 2^levels cells per side.
        encoder_kernel: of the stride-2 layers; 2 keeps cells apart, 3 is ablation (h).
        negative_slope: of the leaky ReLUs.
        norm_momentum, norm_epsilon: of batch norm.
        encoding_channels: of the encoding; by default 2 / 3 as many numbers as the image has (paper).
        reconstruction_weight: factor on the mean squared error.
        weight_decay: factor on half the squared norm of the kernels.

    Call arguments:
        images: float32 (batch, image_size, image_size, 3) in [-1, 1].

    Returns:
        decoded images, like `images`.

    Source: paper, section 3; sizes and weights from the authors' code.
    """

    def __init__(
        self,
        image_size: int = PAPER.data.image_size,
        width: float = PAPER.network.width,
        levels: int = PAPER.network.levels,
        encoder_kernel: int = PAPER.network.encoder_kernel,
        negative_slope: float = PAPER.network.negative_slope,
        norm_momentum: float = PAPER.network.norm_momentum,
        norm_epsilon: float = PAPER.network.norm_epsilon,
        encoding_channels: int | None = None,
        reconstruction_weight: float = PAPER.training.reconstruction_weight,
        weight_decay: float = PAPER.game.weight_decay,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if image_size % 2**levels:
            raise UserError(
                f"image_size must be a multiple of {2**levels} with levels={levels}. Received: {image_size}"
            )
        self.image_size, self.width, self.levels, self.encoder_kernel = image_size, width, levels, encoder_kernel
        self.negative_slope, self.norm_momentum, self.norm_epsilon = negative_slope, norm_momentum, norm_epsilon
        self.reconstruction_weight, self.weight_decay = reconstruction_weight, weight_decay
        norm: dict[str, Any] = {
            "negative_slope": negative_slope,
            "norm_momentum": norm_momentum,
            "norm_epsilon": norm_epsilon,
            "dtype": self.dtype_policy,
        }
        self.encoding_channels = encoder_channels(levels, width, encoding_channels)[-1]
        self.encoder = Encoder(levels, width, encoder_kernel, encoding_channels=self.encoding_channels, **norm)
        self.decoder = Decoder(levels, width, encoding_channels=self.encoding_channels, **norm)
        self.reconstruction = keras.metrics.Mean(name="reconstruction_loss")
        self.micro_batches = 1
        self.to_images = training_images
        self.built = True

    @property
    def grid_size(self) -> int:
        """Cells per side of an encoding."""
        return int(self.image_size // 2**self.levels)

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer | str | None = None,
        *,
        micro_batches: int = 1,
        recompute: bool = False,
        **kwargs: Any,
    ) -> None:
        """Like `keras.Model.compile`.

        Args:
            optimizer: by default the authors' Adam.
            micro_batches: equal parts of a batch, computed one after the other to save memory; one update from all of
                them. Batch norm takes its moments over a part. One device only.
            recompute: compute the decoder again in the backward pass, to save memory.
            kwargs: see `keras.Model.compile`; loss and metrics are the method's own.

        Raises:
            UserError: a loss or metrics, or what several replicas cannot do.
        """
        refuse_ignored(kwargs, IGNORED_BY_COMPILE)
        with self.distribute_strategy.scope():
            optimizer = keras.optimizers.get(optimizer or default_optimizer(PAPER.training.autoencoder_learning_rate))
            check_compile(self, [optimizer], kwargs.get("steps_per_execution", 1), micro_batches)
            super().compile(optimizer=optimizer, **dict(jit_compile=form().jit_compile) | kwargs)
            self.optimizer.build(self.trainable_variables)
        self.micro_batches, self.decoder.recompute = micro_batches, recompute

    def fit(self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Train like `keras.Model.fit`; `x` gives images, or (images, labels) of which the labels are not used.

        The first batch is read once more than Keras reads it, to check its range.

        Raises:
            UserError: images that are not float in [-1, 1]; or under a strategy, batches that do not divide by the
                replicas.
        """
        refuse_ignored(kwargs, IGNORED_BY_FIT)
        given = FitInput(x, batch_size)
        if given.first is not None and self.to_images is training_images:
            check_images(given.first, "x")
        fixed_batch(self, x, batch_size)
        return super().fit(given.x, y, batch_size, *args, **kwargs)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        encoding = self.encoder(images, training=training)  # (batch, h, w, channels)
        return self.decoder(encoding, training=training)  # (batch, height, width, 3)

    @property
    def metrics(self) -> list[keras.Metric]:
        return [self.reconstruction]

    def train_step(self, data: TrainingData) -> dict[str, tf.Tensor]:
        """Update once, and return the epoch's mean loss so far, a scalar."""
        images = self.to_images(data)
        # One update from all micro batches; batch norm has taken its moments over each.
        gradients, reconstruction = MicroBatches(self.micro_batches).mean(self._gradients, images)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.reconstruction.update_state(reconstruction)
        return step_logs({"reconstruction_loss": self.reconstruction.result()})

    def _gradients(self, images: tf.Tensor) -> tuple[list[Any], tf.Tensor]:
        """Return this replica's share of the gradients, each like its variable, and the squared error."""
        with tf.GradientTape() as tape:
            reconstruction = reconstruction_loss(images, self(images, training=True))
            penalty = self.weight_decay * weight_penalty(self.trainable_variables)
            # The optimizer sums gradients over the replicas, so each gives its share.
            loss = per_replica(self.reconstruction_weight * reconstruction + penalty)
        return tape.gradient(loss, self.trainable_variables), reconstruction

    def test_step(self, data: TrainingData) -> dict[str, tf.Tensor]:
        """Return the mean loss of the test batches so far, a scalar."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        self.reconstruction.update_state(reconstruction_loss(images, self(images)))
        return step_logs({"reconstruction_loss": self.reconstruction.result()})

    def get_compile_config(self) -> dict[str, Any]:
        if not self.compiled:
            return {}
        optimizer = keras.saving.serialize_keras_object(self.optimizer)
        return {"optimizer": optimizer, "micro_batches": self.micro_batches, "recompute": self.decoder.recompute}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**config | {"optimizer": keras.saving.deserialize_keras_object(config["optimizer"])})

    def get_config(self) -> dict[str, Any]:
        names = ("image_size", "width", "levels", "encoder_kernel", "negative_slope", "norm_momentum", "norm_epsilon",
                 "encoding_channels", "reconstruction_weight", "weight_decay")  # fmt: skip
        return super().get_config() | {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, object] | None = None) -> Autoencoder:
        # Files of before the encoding had channels of its own: those of the other layers, doubled once more.
        earlier = scaled(ENCODER_CHANNELS * 2 ** config["levels"], config["width"])
        return cls(**{"encoding_channels": earlier} | config)
