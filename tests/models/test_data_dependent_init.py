"""Weights that fit some images."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.small_backbones import ALEXNET, MAPS, NORM, pictures
from tf_spot.errors import UserError
from tf_spot.models.backbones import build_backbone
from tf_spot.models.data_dependent_init import unit_variance
from tf_spot.models.discriminator import Discriminator


@pytest.mark.slow
def test_rescaling_gives_the_moments_of_the_images(judge: Discriminator) -> None:
    backbone, images, weights = judge.backbone, pictures(8), judge.get_weights()
    unit_variance(backbone, tf.constant(images))
    at_inference, in_training = (backbone(images, training=t, update_statistics=False) for t in (False, True))
    momentum = {norm.momentum for norm in backbone.norms}
    judge.set_weights(weights)
    for name in MAPS:  # unlike with the moments that a new network has
        np.testing.assert_allclose(at_inference[name], in_training[name], rtol=1e-2, atol=2e-3)
    assert momentum == {0.9}


@pytest.mark.slow
def test_without_batch_norm_there_is_nothing_to_rescale() -> None:
    backbone = build_backbone("VGG16", **ALEXNET, **NORM, width=1.0)
    with pytest.raises(UserError, match="wants a backbone with batch norm; received: VGG16"):
        unit_variance(backbone, tf.constant(pictures()))
