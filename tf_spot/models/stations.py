"""The stations of one step of stage 2: what travels from one part of the method to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

LOGS = ("discriminator_loss", "realness_loss", "mask_loss", "repair_loss", "adversarial_loss", "decoded_accuracy",
        "repaired_accuracy")  # fmt: skip


class Damaged(NamedTuple):
    """One batch after the frozen autoencoder: what is decoded whole, and what is left after the damage."""

    encoding: tf.Tensor  # φ, (batch, h, w, channels)
    keep_mask: tf.Tensor  # Ω, (batch, h, w, 1), 1 = kept
    damaged: tf.Tensor  # φ̂, like encoding
    decoded: tf.Tensor  # D(φ), (batch, height, width, 3) in [-1, 1]: the class "real"


class Corrupted(NamedTuple):
    """One batch after the repair."""

    encoding: tf.Tensor  # as in `Damaged`
    keep_mask: tf.Tensor
    damaged: tf.Tensor
    decoded: tf.Tensor
    repaired: tf.Tensor  # x̂, like decoded: the class "corrupt"


class Judged(NamedTuple):
    """The discriminator's logits for the two halves of its batch."""

    real_logits: tf.Tensor  # (batch, 2), class 1 = real
    corrupt_logits: tf.Tensor  # (batch, 2)
    real_mask_logits: tf.Tensor | None = None  # (batch, h, w, 1), high = kept; None without a mask head
    corrupt_mask_logits: tf.Tensor | None = None

    @classmethod
    def of(cls, answers: Mapping[str, tf.Tensor]) -> Judged:
        """Take the discriminator's answers to (real, corrupt), (2 batch, ...) each, apart into the two halves."""
        mask_logits = tf.split(answers["mask_logits"], 2) if "mask_logits" in answers else (None, None)
        return cls(*tf.split(answers["realness_logits"], 2), *mask_logits)


class DiscriminatorLosses(NamedTuple):
    """Scalars of one update of the discriminator, weight decay not included."""

    total: tf.Tensor
    realness: tf.Tensor
    mask: tf.Tensor | None  # None without a mask head
    decoded_accuracy: tf.Tensor  # share of real examples that are called real
    repaired_accuracy: tf.Tensor  # share of corrupt examples that are called corrupt

    def logs(self) -> dict[str, tf.Tensor]:
        """Return the scalars by the names in `LOGS`."""
        mask = {} if self.mask is None else {"mask_loss": self.mask}
        accuracies = {"decoded_accuracy": self.decoded_accuracy, "repaired_accuracy": self.repaired_accuracy}
        return {"realness_loss": self.realness} | accuracies | mask | {"discriminator_loss": self.total}


class RepairLosses(NamedTuple):
    """Scalars of one update of the repair network, weight decay not included."""

    total: tf.Tensor
    adversarial: tf.Tensor

    def logs(self) -> dict[str, tf.Tensor]:
        """Return the scalars by the names in `LOGS`."""
        return {"repair_loss": self.total, "adversarial_loss": self.adversarial}
