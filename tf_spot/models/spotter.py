"""Stage 2: learning to spot artifacts.

Cells of a frozen autoencoder's encoding are dropped; a repair network hides the damage; a discriminator tells repaired
images from merely autoencoded ones and says which cells were dropped. The discriminator's backbone transfers.

    images ─► Damaged ─► Corrupted ─► Judged ─► DiscriminatorLosses ─► update of the discriminator
                                 └──► Judged ─► RepairLosses ────────► update of the repair network

Source: paper, section 3; what the paper leaves open follows the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Unpack

import keras
import tensorflow as tf

from tf_spot.config import PAPER, check_field
from tf_spot.distributed.replicas import global_sum
from tf_spot.errors import UserError
from tf_spot.models import losses
from tf_spot.models.adversarial_model import AdversarialModel
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones import Backbone
from tf_spot.models.damage import Damage
from tf_spot.models.discriminator import Discriminator, paper_discriminator
from tf_spot.models.gradient_accumulation import MicroBatches
from tf_spot.models.history_buffer import History
from tf_spot.models.networks import RepairNetwork
from tf_spot.models.stations import LOGS, Corrupted, Damaged, DiscriminatorLosses, Judged, RepairLosses
from tf_spot.ops.registry import LayerOptions, TrainingData, register


@register
class ArtifactSpotter(AdversarialModel):
    """The game between the repair network and the discriminator, around a frozen autoencoder.

    Args:
        autoencoder: a trained `Autoencoder`; it is frozen, its batch norm in inference mode.
        discriminator: a `Discriminator` with the autoencoder's image size and grid; by default the paper's, at the
            autoencoder's width and with the stem stride that its levels require.
        drop_rate: share of the encoding's cells dropped, 0 <= rate < 1.
        fill: what a dropped cell becomes, see `Damage`.
        repair: `distributed`, `local` or `none`, see `RepairNetwork`. With `none` only the discriminator is trained.
        gated, zero_residual: see `RepairBlock`.
        real_images: `decoded`: autoencoded images are the class "real"; `original`: the photos are (ablation (a)).
        history_batches: past corrupted images kept for each index of the batch; 0: none.
        history_steps: between two of them that are stored, see `History`.
        batch_size: images in a training batch over all replicas; needed at construction only to load a saved history.
        update: `alternating`: the discriminator first, then the repair network through the discriminator as just
            updated; `simultaneous`: both from one forward pass (the authors' code).
        adversarial_loss: `nonsaturating`, `minimax` or `confusion`, see `losses.adversarial_loss`.
        adversarial_halves: it is of the `corrupt` half (paper) or of `both` (the authors' code).
        mask_targets: `repaired` or `both`, see `losses.mask_loss`.
        mask_weight: of the mask loss.
        kept_weight: of `losses.kept_loss` for the repair network.
        repair_mask_loss: the repair network minimises the mask loss too (the authors' code, by accident).
        weight_decay: times half the squared norm of the kernels.
        seed: of every random draw. Draws depend on (seed, step, index in the global batch) alone.

    Call arguments:
        images: float32 (batch, image_size, image_size, 3) in [-1, 1].

    Returns:
        the discriminator's answers to `images`, see `Discriminator`.
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
        zero_residual: bool = PAPER.game.zero_residual,
        real_images: str = PAPER.game.real_images,
        history_batches: int = PAPER.game.history_batches,
        history_steps: int = PAPER.game.history_steps,
        batch_size: int | None = None,
        update: str = PAPER.game.update,
        adversarial_loss: str = PAPER.game.adversarial_loss,
        adversarial_halves: str = PAPER.game.adversarial_halves,
        mask_targets: str = PAPER.game.mask_targets,
        mask_weight: float = PAPER.game.mask_weight,
        kept_weight: float = PAPER.game.kept_weight,
        repair_mask_loss: bool = PAPER.game.repair_mask_loss,
        weight_decay: float = PAPER.game.weight_decay,
        seed: int = 0,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(LOGS, **kwargs)
        self._settings: dict[str, Any] = {
            "drop_rate": drop_rate, "fill": fill, "repair": repair, "gated": gated, "zero_residual": zero_residual,
            "real_images": real_images, "history_batches": history_batches, "history_steps": history_steps,
            "update": update, "adversarial_loss": adversarial_loss, "adversarial_halves": adversarial_halves,
            "mask_targets": mask_targets, "mask_weight": mask_weight, "kept_weight": kept_weight,
            "repair_mask_loss": repair_mask_loss, "weight_decay": weight_decay, "seed": seed,
        }  # fmt: skip
        _check_settings(self._settings)
        self.autoencoder = autoencoder
        self.autoencoder.trainable = False
        self.discriminator = discriminator or paper_discriminator(
            autoencoder.image_size, autoencoder.width, autoencoder.levels, seed, self.dtype_policy
        )
        _check_grids(self.autoencoder, self.discriminator)
        self.damage = Damage(drop_rate, fill, seed, dtype="float32")
        self.repair = self.build_repair()
        self.real_images, self.update = real_images, update
        self.adversarial_loss, self.adversarial_halves = adversarial_loss, adversarial_halves
        self.mask_targets, self.mask_weight, self.kept_weight = mask_targets, mask_weight, kept_weight
        self.repair_mask_loss, self.weight_decay = repair_mask_loss, weight_decay
        self.past = History(history_batches, seed, history_steps, dtype="float32") if history_batches else None
        if batch_size:
            self.prepare_history(batch_size)
        self.built = True

    # --- the method -------------------------------------------------------------------------------------------------

    def train_step(self, data: TrainingData) -> dict[str, tf.Tensor]:
        """Update the discriminator once and the repair network once; return the epoch's means so far, scalars."""
        images = self.to_images(data)
        simultaneous = self.update == "simultaneous" and self.optimizer_of_repair is not None
        train = self._train_simultaneously if simultaneous else self._train_alternately
        return self.epoch_means(train(images, self.step))

    def _train_alternately(self, images: tf.Tensor, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """First the discriminator, then the repair network through the discriminator as just updated.

        Without a repair network, ablation (k), the discriminator alone.
        """
        batch = MicroBatches(self.micro_batches)  # one, unless memory is short
        damaged = batch.rows(partial(self.damage_images, step=step), images)
        repair = batch.record(
            partial(self.hide_damage, step=step, training=True),
            damaged.damaged,
            damaged.keep_mask,
            again=partial(self.hide_damage, step=step, training=True, update_statistics=False),
        )
        corrupted = Corrupted(*damaged, repair.outputs)
        real = self.real(images, corrupted)

        # The discriminator also sees past images, so that it does not forget earlier repair networks (row (j)).
        corrupt = self.with_past(corrupted, step)
        gradients, logs = batch.mean(partial(self.discriminator_gradients, step=step), real, *corrupt)
        self.optimizer.apply(gradients, self.discriminator.trainable_variables)
        if self.optimizer_of_repair is None:
            return logs

        # The repair network learns from fresh images alone, judged by the discriminator that was just updated.
        loss = partial(self._loss_of_repaired, step=step, kept_cells=self.kept_cells(corrupted.keep_mask))
        gradients, repair_logs = repair.gradients(loss, images, real, corrupted.keep_mask, of=self._repair_gradients)
        self.optimizer_of_repair.apply(gradients, self.repair.trainable_variables)
        return logs | repair_logs

    def _train_simultaneously(self, images: tf.Tensor, step: tf.Tensor) -> dict[str, tf.Tensor]:
        """Both from one forward pass. Source: authors' code."""
        keep_mask = self.damage.draw(tf.zeros((tf.shape(images)[0], *self.mask_shape)), step)
        both = partial(self.both_gradients, step=step, kept_cells=self.kept_cells(keep_mask))
        gradients, repair_gradients, logs = MicroBatches(self.micro_batches).mean(both, images)
        self.optimizer.apply(gradients, self.discriminator.trainable_variables)
        self.optimizer_of_repair.apply(repair_gradients, self.repair.trainable_variables)
        return logs

    # --- from station to station ------------------------------------------------------------------------------------

    def damage_images(self, images: tf.Tensor, step: tf.Tensor | int) -> Damaged:
        """Encode and decode `images`, and damage their encoding.

        Args:
            images: float32 (batch, image_size, image_size, 3) in [-1, 1].
            step: int scalar; the same step drops the same cells.
        """
        encoding = self.autoencoder.encoder(images)
        damaged, keep_mask = self.damage(encoding, step=step)
        return Damaged(encoding, keep_mask, damaged, self.autoencoder.decoder(encoding))

    def hide_damage(
        self,
        damaged: tf.Tensor,
        keep_mask: tf.Tensor,
        step: tf.Tensor | int,
        training: bool,
        update_statistics: bool = True,
    ) -> tf.Tensor:
        """Return the repaired images, (batch, height, width, 3) in [-1, 1].

        Args:
            damaged, keep_mask: as in `Damaged`.
            step: int scalar, for draws of the repair, which the paper's has none of.
            training: the repair network normalises with the batch's moments.
            update_statistics: see `BatchNorm`.
        """
        mode = {"training": training, "update_statistics": update_statistics}
        return self.repair(damaged, keep_mask, decoder=self.autoencoder.decoder, **mode)

    def corrupt(self, images: tf.Tensor, step: tf.Tensor | int, training: bool = False) -> Corrupted:
        """Encode, damage, decode and repair `images`; arguments as for `damage_images` and `hide_damage`."""
        damaged = self.damage_images(images, step)
        return Corrupted(*damaged, self.hide_damage(damaged.damaged, damaged.keep_mask, step, training))

    def real(self, images: tf.Tensor, corrupted: Corrupted) -> tf.Tensor:
        """Return the examples of the class "real", like `images`."""
        return images if self.real_images == "original" else corrupted.decoded

    def with_past(self, corrupted: Corrupted, step: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return images (batch, height, width, 3) and masks (batch, h, w, 1); with a history half are past ones."""
        fresh = corrupted.repaired, corrupted.keep_mask
        return fresh if self.past is None else self.past(*fresh, step=step)

    def judge(
        self,
        real: tf.Tensor,
        corrupt: tf.Tensor,
        step: tf.Tensor | int,
        update_statistics: bool = True,
        apart: bool = False,
    ) -> Judged:
        """Judge both halves in one batch, so that batch norm mixes them.

        Args:
            real, corrupt: (batch, height, width, 3) in [-1, 1].
            step: int scalar, for dropout.
            update_statistics: see `BatchNorm`.
            apart: for the gradient by `corrupt` alone, which then does not pass through what is computed of `real`.
        """
        # Two calls would be another model: batch norm takes its moments over both halves.
        both = (real, corrupt) if apart else tf.concat([real, corrupt], axis=0)  # (2 batch, height, width, 3)
        mode = {"training": True, "update_statistics": update_statistics}
        return Judged.of(self.discriminator(both, step=step, halves=2, **mode))

    def discriminator_losses(self, judged: Judged, keep_mask: tf.Tensor) -> DiscriminatorLosses:
        """What the discriminator minimises; `keep_mask` (batch, h, w, 1) is that of the corrupt half."""
        realness = losses.realness_loss(judged.real_logits, judged.corrupt_logits)
        mask = self._mask_loss(judged, keep_mask)
        return DiscriminatorLosses(
            total=realness if mask is None else realness + self.mask_weight * mask,
            realness=realness,
            mask=mask,
            decoded_accuracy=_share(judged.real_logits[:, 1] > judged.real_logits[:, 0]),
            repaired_accuracy=_share(judged.corrupt_logits[:, 0] > judged.corrupt_logits[:, 1]),
        )

    def repair_losses(
        self,
        images: tf.Tensor,
        repaired: tf.Tensor,
        keep_mask: tf.Tensor,
        judged: Judged,
        kept_cells: tf.Tensor | None = None,
    ) -> RepairLosses:
        """What the repair network minimises.

        Args:
            images, repaired: (batch, height, width, 3) in [-1, 1].
            keep_mask: (batch, h, w, 1).
            judged: of real and repaired images.
            kept_cells: see `losses.kept_loss`.
        """
        real_logits = judged.real_logits if self.adversarial_halves == "both" else None
        adversarial = losses.adversarial_loss(self.adversarial_loss, judged.corrupt_logits, real_logits)
        total = adversarial
        mask = self._mask_loss(judged, keep_mask) if self.repair_mask_loss else None
        if mask is not None:
            total += self.mask_weight * mask
        if self.kept_weight:
            total += self.kept_weight * losses.kept_loss(images, repaired, keep_mask, kept_cells)
        return RepairLosses(total, adversarial)

    def _mask_loss(self, judged: Judged, keep_mask: tf.Tensor) -> tf.Tensor | None:
        if judged.corrupt_mask_logits is None:
            return None
        return losses.mask_loss(self.mask_targets, judged.real_mask_logits, judged.corrupt_mask_logits, keep_mask)

    def kept_cells(self, keep_mask: tf.Tensor) -> tf.Tensor | None:
        """Kept cells of the global batch per micro batch, a float scalar for `losses.kept_loss`; None without it."""
        return global_sum(tf.reduce_sum(keep_mask)) / self.micro_batches if self.kept_weight else None

    # --- gradients --------------------------------------------------------------------------------------------------

    def discriminator_gradients(
        self, real: tf.Tensor, corrupt: tf.Tensor, keep_mask: tf.Tensor, step: tf.Tensor | int
    ) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
        """Return the discriminator's gradients, like its variables, and the scalars to log; arguments as in `judge`."""
        with tf.GradientTape() as tape:
            found = self.discriminator_losses(self.judge(real, corrupt, step), keep_mask)
        return self.gradients(tape, found.total, self.discriminator.trainable_variables), found.logs()

    def _loss_of_repaired(
        self,
        repaired: tf.Tensor,
        images: tf.Tensor,
        real: tf.Tensor,
        keep_mask: tf.Tensor,
        step: tf.Tensor,
        kept_cells: tf.Tensor | None,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The repair network's loss through the discriminator as it is, whose statistics stay, and what to log."""
        judged = self.judge(real, repaired, step, update_statistics=False, apart=True)
        found = self.repair_losses(images, repaired, keep_mask, judged, kept_cells)
        return found.total, found.logs()

    def _repair_gradients(self, tape: tf.GradientTape, loss: tf.Tensor) -> list[tf.Tensor]:
        return self.gradients(tape, loss, self.repair.trainable_variables)

    def both_gradients(
        self, images: tf.Tensor, step: tf.Tensor | int, kept_cells: tf.Tensor | None = None
    ) -> tuple[list[tf.Tensor], list[tf.Tensor], dict[str, tf.Tensor]]:
        """Return the gradients of both networks from one forward pass, like their variables, and scalars to log."""
        with tf.GradientTape(persistent=True) as tape:
            corrupted = self.corrupt(images, step, training=True)
            judged = self.judge(self.real(images, corrupted), corrupted.repaired, step)
            found = self.discriminator_losses(judged, corrupted.keep_mask)
            repair = self.repair_losses(images, corrupted.repaired, corrupted.keep_mask, judged, kept_cells)
        repair_gradients = self._repair_gradients(tape, repair.total)
        gradients = self.gradients(tape, found.total, self.discriminator.trainable_variables)
        return gradients, repair_gradients, found.logs() | repair.logs()

    # --- Keras ------------------------------------------------------------------------------------------------------

    @property
    def backbone(self) -> Backbone:
        """What transfers: conv1 ... conv5 of the discriminator."""
        return self.discriminator.backbone

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Of one image: (height, width, 3)."""
        return self.autoencoder.image_size, self.autoencoder.image_size, 3

    @property
    def mask_shape(self) -> tuple[int, int, int]:
        """Of one keep mask: (h, w, 1)."""
        return self.autoencoder.grid_size, self.autoencoder.grid_size, 1

    def call(self, images: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return self.discriminator(images, training=training)

    def test_step(self, data: TrainingData) -> dict[str, tf.Tensor]:
        """Return means of the discriminator's losses at inference, scalars, on cells dropped with step 0."""
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        corrupted = self.corrupt(images, step=0)
        both = tf.concat([self.real(images, corrupted), corrupted.repaired], axis=0)  # (2 batch, height, width, 3)
        found = self.discriminator_losses(Judged.of(self.discriminator(both)), corrupted.keep_mask)
        return self.epoch_means(found.logs())

    def build_repair(self) -> RepairNetwork:
        """Make the untrained network between the decoder's layers."""
        ours = self.autoencoder
        return RepairNetwork(
            ours.decoder.channels,
            self._settings["gated"],
            ours.negative_slope,
            ours.norm_momentum,
            ours.norm_epsilon,
            placement=self._settings["repair"],
            zero_residual=self._settings["zero_residual"],
            dtype=self.dtype_policy,
        )

    def get_config(self) -> dict[str, Any]:
        networks = {"autoencoder": self.autoencoder, "discriminator": self.discriminator}
        serialized = {name: keras.saving.serialize_keras_object(network) for name, network in networks.items()}
        serialized["autoencoder"].pop("compile_config", None)  # it has done its training
        return super().get_config() | serialized | self._settings | {"batch_size": self.batch_size}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, object] | None = None) -> ArtifactSpotter:
        names = ("autoencoder", "discriminator")
        # Files of before there was a choice.
        earlier: dict[str, Any] = {"adversarial_halves": "both", "history_steps": 2}
        return cls(**earlier | config | {name: keras.saving.deserialize_keras_object(config[name]) for name in names})


def _share(flags: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(flags, tf.float32))


def _check_settings(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        check_field(f"training.{name}" if name == "seed" else f"game.{name}", value)
    if settings["update"] == "simultaneous" and settings["history_batches"]:
        raise UserError(
            "update='simultaneous' trains both networks from one forward pass, which holds fresh images only; "
            f"received: history_batches={settings['history_batches']}; set history_batches=0, or update='alternating'"
        )


def _check_grids(autoencoder: Autoencoder, discriminator: Discriminator) -> None:
    if (autoencoder.image_size, autoencoder.grid_size) != (discriminator.image_size, discriminator.grid_size):
        raise UserError(
            f"the grid of conv5 must equal the grid of the encoding, at one image size; received: encoding "
            f"{autoencoder.grid_size}x{autoencoder.grid_size} at {autoencoder.image_size} pixels, conv5 "
            f"{discriminator.grid_size}x{discriminator.grid_size} at {discriminator.image_size}; choose stem_stride = "
            "2^(levels - 2); with another backbone than alexnet, levels = 4"
        )
