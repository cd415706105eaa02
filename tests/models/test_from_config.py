"""Networks from a configuration: each field reaches the one it is of."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.tiny_recipe import TINY
from tf_spot.config import preset
from tf_spot.models.from_config import adam, build_autoencoder, build_discriminator, build_spotter
from tf_spot.models.gan import GAN

CONFIG = preset("tiny").replace(**TINY)


def test_the_rate_falls_in_a_line_and_then_stays() -> None:
    config = CONFIG.replace(**{"training.decay_share": 0.5, "training.final_learning_rate_share": 0.1})
    schedule = adam(config, 1.0, 100)._learning_rate
    rates = [float(schedule(step)) for step in (0, 25, 50, 99)]
    np.testing.assert_allclose(rates, [1.0, 0.55, 0.1, 0.1], rtol=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    weights = [build_autoencoder(CONFIG.replace(**{"training.seed": seed})).get_weights() for seed in (1, 1, 2)]
    same, other = ([np.array_equal(a, b) for a, b in zip(weights[0], weights[i], strict=True)] for i in (1, 2))
    assert all(same) and not all(other)


@pytest.mark.parametrize(
    ("changes", "reads", "expected"),
    [
        ({"network.fc_units": 24}, lambda d: d.fc1.units, 24),
        ({"network.dropout_rate": 0.25}, lambda d: d.dropout.rate, 0.25),
        ({"game.predict_mask": False}, lambda d: d.mask_head, None),
        ({"network.trunk_norm": "response"}, lambda d: d.backbone.response_norm is not None, True),
        ({"training.seed": 9}, lambda d: d.dropout.seed, 9),
        ({"training.precision": "mixed_bfloat16"}, lambda d: d.compute_dtype, "bfloat16"),
    ],
)
def test_fields_reach_the_discriminator(changes, reads, expected) -> None:
    assert reads(build_discriminator(CONFIG.replace(**changes))) == expected


def test_repair_gan_makes_a_gan() -> None:
    config = CONFIG.replace(**{"game.repair": "gan", "game.predict_mask": False})
    assert isinstance(build_spotter(config, build_autoencoder(config)), GAN)
