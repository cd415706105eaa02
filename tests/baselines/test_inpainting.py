"""The inpainting task: the hole, its border, learning to fill it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import learn, make, positions
from tf_spot.baselines import inpainting


def test_the_hole_hides_the_middle_but_its_border() -> None:
    images = tf.ones((1, 32, 32, 3))
    shown = inpainting.with_hole(images)[0, ..., 0].numpy()
    hidden = np.zeros((32, 32))
    hidden[9:23, 9:23] = 1  # a hole of 16 from 8 to 24, its border of 1 pixel visible
    np.testing.assert_array_equal(shown, 1 - hidden)
    np.testing.assert_array_equal(inpainting.middle(positions(32))[0, 0, 0], [8, 8])
    assert inpainting.middle(images).shape == (1, 16, 16, 3)
    weights = inpainting.border_weights(32)
    assert weights.mean() == pytest.approx(1) and weights[0, 0, 5, 0] / weights[0, 1, 5, 0] == pytest.approx(10)


def test_a_miss_on_the_border_costs_ten_times_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the weight in the loss, without which the filling need not go on from what is around it."""
    model, losses = make("inpainting"), []
    for row in (0, 8):
        missed = np.zeros((1, 16, 16, 3), np.float32)
        missed[0, row, 8] = 1
        monkeypatch.setattr(model, "fill", lambda images, training, missed=missed: missed)
        losses.append(float(model.task_metrics(tf.zeros((1, 32, 32, 3)), None, 0, training=False)["pretext_loss"]))
    assert losses[0] / losses[1] == pytest.approx(10)


@pytest.mark.slow
def test_inpainting_is_learnt() -> None:
    """The pictures' middle varies by about 0.1 around its mean; the hole itself is grey."""
    before, after = learn(make("inpainting"), 80)["pretext_loss"]
    assert after < 0.5 * before
