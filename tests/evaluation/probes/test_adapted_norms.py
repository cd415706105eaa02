"""Batch norm with the moments of the photos at hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.evaluation_data import dataset, lights
from tests.support.small_backbones import ALEXNET, NORM
from tf_spot.errors import UserError
from tf_spot.evaluation.probes import adapted_norms
from tf_spot.evaluation.probes.adapted_norms import adapted, spread_photos
from tf_spot.evaluation.probes.examples import Examples
from tf_spot.models.backbones import AlexNet, build_backbone


def backbone(trunk_norm: str) -> AlexNet:
    return AlexNet(width=0.1, stem_kernel=5, stem_stride=1, trunk_norm=trunk_norm, norm_momentum=0.9, norm_epsilon=1e-3)


@pytest.mark.parametrize("trunk_norm", ["response", "batch"])
def test_after_adapting_what_enters_conv5s_norm_has_its_moments(trunk_norm: str) -> None:
    """Checked at inference, on the photos themselves: also the norms below are then those of the photos."""
    network = backbone(trunk_norm)
    images = (lights(24, 0)[0][:, :16, :16] / 127.5 - 1).astype(np.float32)
    before = network.get_weights()
    copy = adapted(network, images)
    entering: list[tf.Tensor] = []
    norm, real = copy.norms[-1], copy.norms[-1].call

    def listening(inputs: tf.Tensor, **words: bool) -> tf.Tensor:
        entering.append(inputs)
        return real(inputs, **words)

    norm.call = listening
    copy(images)
    mean, variance = tf.nn.moments(entering[0], axes=(0, 1, 2))
    # Sums of float32 in another order.
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-3, atol=1e-3 * np.abs(mean).max())
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-3)
    assert norm.momentum == 0.9 and len(entering) == 1
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)), "a copy is changed"
    weights = [
        (v.numpy(), w.numpy()) for v, w in zip(copy.trainable_variables, network.trainable_variables, strict=True)
    ]
    assert all(np.array_equal(a, b) for a, b in weights)


@pytest.mark.parametrize(("most", "taken"), [(5, [0, 3, 6, 8, 11]), (99, list(range(12)))])
def test_photos_are_spread_evenly_over_the_training_set(
    most: int, taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapted_norms, "PHOTOS", most)
    images = np.zeros((12, 2, 2, 3), np.float32) + np.arange(12, dtype=np.float32)[:, None, None, None]
    examples = Examples(*[dataset(images, np.arange(12) % 2, batch_size=5)] * 2)
    assert spread_photos(examples)[:, 0, 0, 0].tolist() == taken


@pytest.mark.slow
def test_without_batch_norm_there_is_nothing_to_adapt() -> None:
    with pytest.raises(UserError, match="--norms adapt wants a backbone with batch norm"):
        adapted(build_backbone("VGG16", **ALEXNET, **NORM, width=1.0), np.zeros((1, 32, 32, 3), np.float32))
