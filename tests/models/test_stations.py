"""The stations of a step hand on what their names say."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tf_spot.models.stations import LOGS, DiscriminatorLosses, Judged, RepairLosses


def test_the_discriminators_answers_are_taken_apart_into_real_and_corrupt() -> None:
    logits = tf.reshape(tf.range(8.0), (4, 2))
    masks = tf.reshape(tf.range(16.0), (4, 2, 2, 1))
    judged = Judged.of({"realness_logits": logits, "mask_logits": masks, "conv1": masks})
    np.testing.assert_array_equal(judged.real_logits, logits[:2])
    np.testing.assert_array_equal(judged.corrupt_logits, logits[2:])
    np.testing.assert_array_equal(judged.real_mask_logits, masks[:2])
    np.testing.assert_array_equal(judged.corrupt_mask_logits, masks[2:])
    without = Judged.of({"realness_logits": logits})
    assert (without.real_mask_logits, without.corrupt_mask_logits) == (None, None)


def test_losses_are_logged_under_the_names_of_the_metrics() -> None:
    discriminator = DiscriminatorLosses(total=1, realness=2, mask=3, decoded_accuracy=4, repaired_accuracy=5)
    logs = discriminator.logs() | RepairLosses(total=6, adversarial=7).logs()
    assert set(logs) == set(LOGS)
    assert (logs["discriminator_loss"], logs["realness_loss"], logs["mask_loss"]) == (1, 2, 3)
    assert (logs["repair_loss"], logs["adversarial_loss"]) == (6, 7)
    assert "mask_loss" not in discriminator._replace(mask=None).logs()
