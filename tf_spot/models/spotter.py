"""Stage 2: learning to spot artifacts.

Cells of a frozen autoencoder's encoding are dropped; a repair network hides the damage; a discriminator tells repaired
images from merely autoencoded ones and says which cells were dropped. What the discriminator's trunk learns transfers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_spot.config import PAPER
from tf_spot.distributed.compile_checks import check_compile, fixed_batch
from tf_spot.distributed.replicas import per_replica, step_logs
from tf_spot.models import losses
from tf_spot.models.autoencoder import Autoencoder, default_optimizer
from tf_spot.models.backbones import Backbone
from tf_spot.models.gradient_accumulation import train_in_parts
from tf_spot.models.history_buffer import History
from tf_spot.models.layers import Damage
from tf_spot.models.networks import Discriminator, RepairNetwork
from tf_spot.ops.cpu_features import JIT_COMPILE
from tf_spot.ops.registry import register

LOGS = ("discriminator_loss", "realness_loss", "mask_loss", "repair_loss", "adversarial_loss", "decoded_accuracy",
        "repaired_accuracy")  # fmt: skip


class Corrupted(NamedTuple):
    """One batch on its way through damage and repair."""

    encoding: Any  # (batch, h, w, channels)
    keep_mask: Any  # (batch, h, w, 1), 1 = kept
    damaged: Any  # like encoding
    decoded: Any  # (batch, height, width, 3) in [-1, 1]: the class "real"
    repaired: Any  # like decoded: the class "corrupt"


@register
class ArtifactSpotter(keras.Model):
    """The game between the repair network and the discriminator, around a frozen autoencoder.

    Args:
        autoencoder: a trained `Autoencoder`; it is frozen, its batch norm in inference mode.
        discriminator: a `Discriminator` with the autoencoder's image size and grid; by default the paper's, at the
            autoencoder's width and with the stem stride that its levels ask for.
        drop_rate: share of the encoding's cells dropped, 0 <= rate < 1.
        fill: what a dropped cell becomes, see `Damage`.
        repair: `distributed`, `local` or `none`, see `RepairNetwork`. With `none` only the discriminator is trained.
        gated: repair lands in dropped cells only.
        real_images: `decoded`: autoencoded images are the class "real"; `original`: the photos are (ablation (a)).
        history_batches: past corrupted images kept for every place in the batch; 0: none.
        batch_size: images in a training batch over all replicas; needed at construction only to load a saved history.
        update: `alternating`: the discriminator first, then the repair network through the discriminator as just
            updated; `simultaneous`: both from one forward pass (the authors' code).
        adversarial_loss: `nonsaturating`, `minimax` or `confusion`, see `losses.adversarial_loss`.
        mask_targets: `repaired` or `both`, see `losses.mask_loss`.
        mask_weight: of the mask loss.
        kept_weight: of `losses.kept_loss` for the repair network.
        repair_mask_loss: the repair network minimises the mask loss too (the authors' code, by accident).
        weight_decay: times half the squared norm of the kernels.
        seed: of every random draw. Draws depend on (seed, step, place in the global batch) alone.

    Call arguments:
        images: float32 (batch, image_size, image_size, 3) in [-1, 1].

    Returns:
        the discriminator's answers about `images`, see `Discriminator`.

    Source: paper, section 3; what the paper leaves open follows the authors' code.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        discriminator: Discriminator | None = None,
        *,
        drop_rate: float = PAPER.game.drop_rate,
        fill: str = PAPER.game.fill,
        repair: str = PAPER.game.repair,
        gated: bool = PAPER.game.gated,
        real_images: str = PAPER.game.real_images,
        history_batches: int = PAPER.game.history_batches,
        batch_size: int | None = None,
        update: str = PAPER.game.update,
        adversarial_loss: str = PAPER.game.adversarial_loss,
        mask_targets: str = PAPER.game.mask_targets,
        mask_weight: float = PAPER.game.mask_weight,
        kept_weight: float = PAPER.game.kept_weight,
        repair_mask_loss: bool = PAPER.game.repair_mask_loss,
        weight_decay: float = PAPER.game.weight_decay,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self._settings: dict[str, Any] = {
            "drop_rate": drop_rate, "fill": fill, "repair": repair, "gated": gated, "real_images": real_images,
            "history_batches": history_batches, "update": update, "adversarial_loss": adversarial_loss,
            "mask_targets": mask_targets, "mask_weight": mask_weight, "kept_weight": kept_weight,
            "repair_mask_loss": repair_mask_loss, "weight_decay": weight_decay, "seed": seed,
        }  # fmt: skip
        _check_choices(self._settings)
        self.autoencoder = autoencoder
        self.autoencoder.trainable = False
        self.discriminator = discriminator or default_discriminator(autoencoder, seed, self.dtype_policy)
        self._check_grids()
        self.damage = Damage(drop_rate, fill, seed, dtype="float32")
        self.repair = self.build_repair()
        self.real_images, self.update, self.adversarial_loss = real_images, update, adversarial_loss
        self.mask_targets, self.mask_weight, self.kept_weight = mask_targets, mask_weight, kept_weight
        self.repair_mask_loss, self.weight_decay = repair_mask_loss, weight_decay
        self.past = History(history_batches, seed, dtype="float32") if history_batches else None
        self.trackers = {name: keras.metrics.Mean(name=name) for name in LOGS}
        self.micro_batches = 1
        self.batch_size: int | None = None
        if batch_size:
            self.prepare_history(batch_size)
        self.built = True

    # --- the method -------------------------------------------------------------------------------------------------

    def corrupt(self, images: Any, step: Any, training: bool = False) -> Corrupted:
        """Encodes, damages, decodes and repairs `images`.

        Args:
            images: float32 (batch, image_size, image_size, 3) in [-1, 1].
            step: scalar integer; the same step drops the same cells.
            training: the repair network normalises with the batch's moments.
        """
        encoding = self.autoencoder.encoder(images)
        damaged, keep_mask = self.damage(encoding, step=step)
        decoded = self.autoencoder.decoder(encoding)
        repaired = self.hide_damage(damaged, keep_mask, step, training)
        return Corrupted(encoding, keep_mask, damaged, decoded, repaired)

    def hide_damage(
        self, damaged: Any, keep_mask: Any, step: Any, training: bool, update_statistics: bool = True
    ) -> tf.Tensor:
        """The repaired images."""
        mode = {"training": training, "update_statistics": update_statistics}
        return self.repair(damaged, keep_mask, decoder=self.autoencoder.decoder, **mode)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One update of the discriminator and one of the repair network."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        step = tf.convert_to_tensor(self.step)
        if self.micro_batches > 1:
            return self._epoch_means(train_in_parts(self, images, step, self.micro_batches))
        if not self.repair.trainable_variables:
            train = self._train_discriminator_alone
        else:
            train = self._train_simultaneously if self.update == "simultaneous" else self._train_alternately
        return self._epoch_means(train(images, step))

    def _train_alternately(self, images: Any, step: Any) -> dict[str, tf.Tensor]:
        """First the discriminator, then the repair network through the discriminator as just updated."""
        with tf.GradientTape() as repair_tape:
            corrupted = self.corrupt(images, step, training=True)
            real = self.real(images, corrupted)
            with repair_tape.stop_recording():
                logs = self._train_discriminator(real, corrupted, step)
            answers = self.judge(real, corrupted.repaired, step, update_statistics=False, apart=True)
            repair_loss, adversarial = self.repair_losses(images, corrupted, answers)
        repairs = self.repair.trainable_variables
        self.optimizer_of_repair.apply(self.gradients(repair_tape, repair_loss, repairs), repairs)
        return logs | {"repair_loss": repair_loss, "adversarial_loss": adversarial}

    def _train_discriminator(self, real: Any, corrupted: Corrupted, step: Any) -> dict[str, tf.Tensor]:
        gradients, logs = self.discriminator_gradients(real, *self.with_past(corrupted, step), step)
        self.optimizer.apply(gradients, self.discriminator.trainable_variables)
        return logs

    def _train_discriminator_alone(self, images: Any, step: Any) -> dict[str, tf.Tensor]:
        """Nobody repairs: ablation (k)."""
        corrupted = self.corrupt(images, step, training=True)
        return self._train_discriminator(self.real(images, corrupted), corrupted, step)

    def _train_simultaneously(self, images: Any, step: Any) -> dict[str, tf.Tensor]:
        """Both from one forward pass; source: authors' code."""
        gradients, repair_gradients, logs = self.both_gradients(images, step)
        self.optimizer.apply(gradients, self.discriminator.trainable_variables)
        self.optimizer_of_repair.apply(repair_gradients, self.repair.trainable_variables)
        return logs

    def both_gradients(
        self, images: Any, step: Any, kept_cells: Any = None
    ) -> tuple[list[Any], list[Any], dict[str, tf.Tensor]]:
        """The discriminator's and the repair network's, from one forward pass, and what to log."""
        with tf.GradientTape(persistent=True) as tape:
            corrupted = self.corrupt(images, step, training=True)
            answers = self.judge(self.real(images, corrupted), corrupted.repaired, step)
            loss, logs = self.discriminator_losses(answers, corrupted.keep_mask)
            repair_loss, adversarial = self.repair_losses(images, corrupted, answers, kept_cells)
        repair_gradients = self.gradients(tape, repair_loss, self.repair.trainable_variables)
        gradients = self.gradients(tape, loss, self.discriminator.trainable_variables)
        return gradients, repair_gradients, logs | {"repair_loss": repair_loss, "adversarial_loss": adversarial}

    def discriminator_gradients(
        self, real: Any, corrupt: Any, keep_mask: Any, step: Any
    ) -> tuple[list[Any], dict[str, tf.Tensor]]:
        """The discriminator's gradients, and what to log."""
        with tf.GradientTape() as tape:
            loss, logs = self.discriminator_losses(self.judge(real, corrupt, step), keep_mask)
        return self.gradients(tape, loss, self.discriminator.trainable_variables), logs

    def with_past(self, corrupted: Corrupted, step: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Repaired images and keep masks, with a history half of them past ones."""
        fresh = corrupted.repaired, corrupted.keep_mask
        return fresh if self.past is None else self.past(*fresh, step=step)

    def real(self, images: Any, corrupted: Corrupted) -> tf.Tensor:
        """The examples of the class "real"."""
        return images if self.real_images == "original" else corrupted.decoded

    def judge(
        self, real: Any, corrupt: Any, step: Any, update_statistics: bool = True, apart: bool = False
    ) -> dict[str, Any]:
        """The answers about (real, corrupt), both judged in one batch so that batch norm mixes them.

        `apart`: for the gradient by `corrupt` alone, which then does not pass through what is computed of `real`.
        """
        both = (real, corrupt) if apart else tf.concat([real, corrupt], axis=0)
        mode = {"training": True, "update_statistics": update_statistics}
        return _halves(self.discriminator(both, step=step, halves=2, **mode))

    def discriminator_losses(self, answers: dict[str, Any], keep_mask: Any) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The discriminator's loss without weight decay, and what to log."""
        real_logits, corrupt_logits = answers["realness_logits"]
        realness = losses.realness_loss(real_logits, corrupt_logits)
        loss = realness
        logs = {
            "realness_loss": realness,
            "decoded_accuracy": _share(real_logits[:, 1] > real_logits[:, 0]),
            "repaired_accuracy": _share(corrupt_logits[:, 0] > corrupt_logits[:, 1]),
        }
        if "mask_logits" in answers:
            logs["mask_loss"] = self._mask_loss(answers, keep_mask)
            loss += self.mask_weight * logs["mask_loss"]
        return loss, logs | {"discriminator_loss": loss}

    def repair_losses(
        self, images: Any, corrupted: Corrupted, answers: dict[str, Any], kept_cells: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The repair network's loss without weight decay, and its adversarial part; `kept_cells`: see `kept_loss`."""
        adversarial = losses.adversarial_loss(self.adversarial_loss, *answers["realness_logits"])
        loss = adversarial
        if self.repair_mask_loss and "mask_logits" in answers:
            loss += self.mask_weight * self._mask_loss(answers, corrupted.keep_mask)
        if self.kept_weight:
            loss += self.kept_weight * losses.kept_loss(images, corrupted.repaired, corrupted.keep_mask, kept_cells)
        return loss, adversarial

    def _mask_loss(self, answers: dict[str, Any], keep_mask: Any) -> tf.Tensor:
        about_real, about_corrupt = answers["mask_logits"]
        return losses.mask_loss(self.mask_targets, about_real, about_corrupt, keep_mask)

    def gradients(self, tape: tf.GradientTape, loss: Any, variables: list[Any]) -> list[Any]:
        """This replica's share of the gradients of `loss` and of the weight decay."""
        gradients = zip(tape.gradient(loss, variables), variables, strict=True)
        return [per_replica(g + self.weight_decay * v if len(v.shape) > 1 else g) for g, v in gradients]

    # --- Keras ------------------------------------------------------------------------------------------------------

    @property
    def backbone(self) -> Backbone:
        """What transfers: conv1 ... conv5 of the discriminator."""
        return self.discriminator.backbone

    @property
    def step(self) -> Any:
        """Updates of the discriminator so far."""
        return self.optimizer.iterations

    @property
    def metrics(self) -> list[keras.Metric]:
        return list(self.trackers.values())

    def call(self, images: Any, training: bool = False) -> dict[str, tf.Tensor]:
        return self.discriminator(images, training=training)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The discriminator's losses at inference, on cells dropped with step 0."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        corrupted = self.corrupt(images, step=0)
        both = tf.concat([self.real(images, corrupted), corrupted.repaired], axis=0)
        answers = _halves(self.discriminator(both))
        return self._epoch_means(self.discriminator_losses(answers, corrupted.keep_mask)[1])

    def _epoch_means(self, logs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The epoch's means of `logs`, these ones taken in."""
        for name, value in logs.items():
            self.trackers[name].update_state(value)
        return step_logs({name: self.trackers[name].result() for name in logs})

    def compile(
        self,
        discriminator_optimizer: Any = None,
        repair_optimizer: Any = None,
        *,
        micro_batches: int = 1,
        recompute: bool = False,
        **kwargs: Any,
    ) -> None:
        """Like `keras.Model.compile`, with two optimizers; each defaults to the authors' Adam.

        `optimizer` is the discriminator's, so that Keras' callbacks see it; `optimizer_of_repair` is the other, None
        with nothing to train. Both are built here: Keras would build the second inside the traced step, which fails
        under a strategy.

        Args:
            micro_batches: equal parts of a batch, computed one after the other to save memory; each network has one
                update from all of them. Batch norm takes its moments over a part. One device only.
            recompute: compute repair network and frozen decoder again in the backward pass, to save memory.
        """
        with self.distribute_strategy.scope():
            first = keras.optimizers.get(
                discriminator_optimizer or default_optimizer(PAPER.training.discriminator_learning_rate)
            )
            second = keras.optimizers.get(repair_optimizer or default_optimizer(PAPER.training.repair_learning_rate))
            check_compile(self, [first, second], kwargs.get("steps_per_execution", 1), micro_batches)
            super().compile(optimizer=first, jit_compile=JIT_COMPILE, **kwargs)
            self.optimizer_of_repair: Any = second if self.repair.trainable_variables else None
            for optimizer, network in ((first, self.discriminator), (second, self.repair)):
                if not optimizer.built and network.trainable_variables:
                    optimizer.build(network.trainable_variables)
        self.micro_batches, self.repair.recompute = micro_batches, recompute

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Like `keras.Model.fit`; `x` gives images, or (images, labels) of which the labels are not used.

        Raises:
            ValueError: a history is kept and the batch size is not fixed.
            UserError: the replicas cannot share every batch equally.
        """
        batch_size = fixed_batch(self, x, kwargs.get("batch_size"))
        if self.past is not None:
            self.prepare_history(_required(batch_size))
        return super().fit(x, *args, **kwargs)

    def build_repair(self) -> RepairNetwork:
        """The untrained network between the decoder's layers."""
        ours = self.autoencoder
        return RepairNetwork(
            ours.decoder.channels,
            self._settings["gated"],
            ours.negative_slope,
            ours.norm_momentum,
            ours.norm_epsilon,
            place=self._settings["repair"],
            dtype=self.dtype_policy,
        )

    def prepare_history(self, batch_size: int) -> None:
        """Makes the empty history for batches of `batch_size` images over all replicas."""
        if self.past is None or self.batch_size == batch_size:
            return
        if self.batch_size is not None:
            raise ValueError(
                f"the history holds batches of {self.batch_size} images. Received: batches of {batch_size}. Keep the "
                "batch size, or make a new ArtifactSpotter"
            )
        replicas = self.distribute_strategy.num_replicas_in_sync
        if batch_size % replicas:
            raise ValueError(f"the batch must divide by the {replicas} replicas. Received: batch_size={batch_size}")
        size, grid = self.autoencoder.image_size, self.autoencoder.grid_size
        with self.distribute_strategy.scope():
            self.past.build((batch_size, size, size, 3), (batch_size, grid, grid, 1))
        self.batch_size = batch_size

    def _check_grids(self) -> None:
        ours, theirs = self.autoencoder, self.discriminator
        if (ours.image_size, ours.grid_size) != (theirs.image_size, theirs.grid_size):
            raise ValueError(
                f"the grid of conv5 must equal the grid of the encoding, at one image size. Received: encoding "
                f"{ours.grid_size}x{ours.grid_size} at {ours.image_size} pixels, conv5 {theirs.grid_size}x"
                f"{theirs.grid_size} at {theirs.image_size}. Choose stem_stride = 2^(levels - 2); with another "
                "backbone than alexnet, levels = 4"
            )

    def get_config(self) -> dict[str, Any]:
        parts = {"autoencoder": self.autoencoder, "discriminator": self.discriminator}
        serialized = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        serialized["autoencoder"].pop("compile_config", None)  # it has done its training
        return super().get_config() | serialized | self._settings | {"batch_size": self.batch_size}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ArtifactSpotter:
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("autoencoder", "discriminator")}
        return cls(**config | parts)

    def get_compile_config(self) -> dict[str, Any]:
        if not self.compiled:
            return {}
        settings = {"discriminator_optimizer": self.optimizer, "repair_optimizer": self.optimizer_of_repair}
        settings |= {"micro_batches": self.micro_batches, "recompute": self.repair.recompute}
        return {name: keras.saving.serialize_keras_object(value) for name, value in settings.items()}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def default_discriminator(autoencoder: Autoencoder, seed: int = 0, dtype: Any = None) -> Discriminator:
    """The paper's discriminator at the autoencoder's size, width and grid."""
    network = PAPER.network
    return Discriminator(
        image_size=autoencoder.image_size,
        width=autoencoder.width,
        stem_kernel=network.stem_kernel,
        stem_stride=2 ** (autoencoder.levels - 2),
        trunk_norm=network.trunk_norm,
        norm_momentum=network.norm_momentum,
        norm_epsilon=network.norm_epsilon,
        fc_units=network.fc_units,
        dropout_rate=network.dropout_rate,
        seed=seed,
        dtype=dtype,
    )


def _halves(answers: dict[str, Any]) -> dict[str, Any]:
    """The logits as (about real, about corrupt)."""
    return {name: tf.split(answer, 2) for name, answer in answers.items() if name.endswith("logits")}


def _share(flags: Any) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(flags, tf.float32))


def _required(batch_size: int | None) -> int:
    if batch_size is None:
        raise ValueError(
            "the history needs batches of one fixed size. Received: a dataset whose last batch may be smaller. Use "
            "batch(n, drop_remainder=True), or history_batches=0"
        )
    return batch_size


def _check_choices(settings: dict[str, Any]) -> None:
    choices = {
        "real_images": ("decoded", "original"),
        "update": ("alternating", "simultaneous"),
        "adversarial_loss": ("nonsaturating", "minimax", "confusion"),
        "mask_targets": ("both", "repaired"),
    }
    for name, allowed in choices.items():
        if settings[name] not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}. Received: {name}={settings[name]!r}")
    if settings["update"] == "simultaneous" and settings["history_batches"]:
        raise ValueError(
            "update='simultaneous' trains both networks from one forward pass, which holds fresh images only. "
            f"Received: history_batches={settings['history_batches']}. Set history_batches=0, or update='alternating'"
        )
