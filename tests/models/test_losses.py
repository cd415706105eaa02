"""Losses by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from tf_spot.models import losses

LN3 = math.log(3)
# Logits (0, ln 3): class 1 has probability 3/4. Logits (ln 3, 0): class 0 has.
SURE_REAL, SURE_CORRUPT, UNSURE = [0.0, LN3], [LN3, 0.0], [0.0, 0.0]


def test_reconstruction_loss_is_the_mean_over_every_value() -> None:
    images = np.zeros((2, 1, 1, 3), "float32")
    decoded = np.zeros((2, 1, 1, 3), "float32")
    decoded[0, 0, 0, 0] = 3
    assert float(losses.reconstruction_loss(images, decoded)) == pytest.approx(9 / 6)


def test_realness_loss_averages_both_halves() -> None:
    real, corrupt = tf.constant([SURE_REAL, SURE_REAL]), tf.constant([UNSURE, SURE_REAL])
    expected = (-math.log(3 / 4) + (-math.log(1 / 2) - math.log(1 / 4)) / 2) / 2
    assert float(losses.realness_loss(real, corrupt)) == pytest.approx(expected)


def test_adversarial_losses_of_the_corrupt_half_and_of_both() -> None:
    real, corrupt = tf.constant([SURE_REAL, UNSURE]), tf.constant([SURE_CORRUPT, SURE_CORRUPT])
    unflipped, flipped = -math.log(3 / 4), -math.log(1 / 4)
    unsure = (-math.log(3 / 4) + math.log(2)) / 2, (-math.log(1 / 4) + math.log(2)) / 2
    halves = {"corrupt": (unflipped, flipped), "both": ((unflipped + unsure[0]) / 2, (flipped + unsure[1]) / 2)}
    for half, (right, wrong) in halves.items():
        for kind, expected in {"nonsaturating": wrong, "minimax": -right, "confusion": wrong + right}.items():
            found = losses.adversarial_loss(kind, corrupt, real if half == "both" else None)
            assert float(found) == pytest.approx(expected), (kind, half)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", ["nonsaturating", "minimax", "confusion"])
def test_gradient_on_corrupt_logits(kind: str, both: bool) -> None:
    """With p = P(real) and B images, on the real logit: -(1-p)/B, -p/B, (2p-1)/B; half of that with both halves."""
    corrupt = tf.constant([SURE_REAL, SURE_CORRUPT, UNSURE])  # p = 3/4, 1/4, 1/2
    real = tf.constant([UNSURE] * 3)
    with tf.GradientTape() as tape:
        tape.watch(corrupt)
        loss = losses.adversarial_loss(kind, corrupt, real if both else None)
    p = np.array([0.75, 0.25, 0.5])
    expected = {"nonsaturating": p - 1, "minimax": -p, "confusion": 2 * p - 1}[kind] / (6 if both else 3)
    np.testing.assert_allclose(tape.gradient(loss, corrupt)[:, losses.REAL], expected, atol=1e-6)


def test_mask_loss_on_repaired_images_or_on_both() -> None:
    keep_mask = np.array([[1.0], [0.0]], "float32").reshape(1, 2, 1, 1)
    corrupt = np.array([LN3, LN3], "float32").reshape(1, 2, 1, 1)  # says "kept" with probability 3/4
    real = np.array([-LN3, -LN3], "float32").reshape(1, 2, 1, 1)  # says 1/4; all real cells are kept
    on_corrupt = (-math.log(3 / 4) - math.log(1 / 4)) / 2
    assert float(losses.mask_loss("repaired", real, corrupt, keep_mask)) == pytest.approx(on_corrupt)
    both = (on_corrupt - math.log(1 / 4)) / 2
    assert float(losses.mask_loss("both", real, corrupt, keep_mask)) == pytest.approx(both)


def test_kept_loss_is_the_mean_over_kept_values_alone() -> None:
    images, repaired = np.zeros((1, 4, 4, 3), "float32"), np.zeros((1, 4, 4, 3), "float32")
    keep_mask = np.array([[1, 0], [0, 0]], "float32").reshape(1, 2, 2, 1)  # the top left 2x2 pixels, 12 values
    repaired[0, 0, 1, 2] = 2
    repaired[0, 3, 3] = 100  # dropped
    assert float(losses.kept_loss(images, repaired, keep_mask)) == pytest.approx(4 / 12)
    assert float(losses.kept_loss(images, repaired, 0 * keep_mask)) == 0


def test_weight_penalty_leaves_out_biases_and_norms() -> None:
    variables = [tf.constant([[1.0, 2.0]]), tf.constant([10.0]), tf.constant([[[[3.0]]]])]
    assert float(losses.weight_penalty(variables)) == pytest.approx((1 + 4 + 9) / 2)
