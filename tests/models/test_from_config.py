"""Every field of the configuration reaches the part of the models that it is for."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.support.own_models import CONV_LAYERS, small_conv
from tests.support.tiny_recipe import TINY
from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.models.backbones import KerasBackbone
from tf_spot.models.from_config import build_autoencoder, build_discriminator, build_spotter
from tf_spot.models.gan import GAN

CONFIG = preset("tiny").replace(**TINY)


def test_the_rate_falls_in_a_line_and_then_stays():
    """From 2e-3 to a tenth of it over 80 of 100 steps: 1.1e-3 half way."""
    changes = {"autoencoder_learning_rate": 2e-3, "final_learning_rate_share": 0.1, "decay_share": 0.8,
               "autoencoder_steps": 100, "adam_beta_1": 0.25, "adam_epsilon": 1e-3}  # fmt: skip
    autoencoder = build_autoencoder(CONFIG.replace(**{f"training.{k}": v for k, v in changes.items()}))
    optimizer = autoencoder.optimizer
    rates = []
    for step in (0, 40, 80, 100):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    assert rates == pytest.approx([2e-3, 1.1e-3, 2e-4, 2e-4], rel=1e-5)  # float32
    assert (optimizer.beta_1, optimizer.epsilon) == (0.25, 1e-3)


FIELDS = {  # field: (a value that is not the default, where it must arrive)
    "data.image_size": (32, lambda s: s.autoencoder.image_size),
    "network.width": (0.25, lambda s: s.autoencoder.width),
    "network.encoder_kernel": (3, lambda s: s.autoencoder.encoder_kernel),
    "network.encoding_ratio": (1.0, lambda s: s.autoencoder.encoding_channels / 48),
    "network.negative_slope": (0.1, lambda s: s.autoencoder.negative_slope),
    "network.norm_momentum": (0.9, lambda s: s.discriminator.backbone.norms[0].momentum),
    "network.norm_epsilon": (0.01, lambda s: s.discriminator.backbone.norms[0].epsilon),
    "network.stem_kernel": (7, lambda s: s.backbone.convs[0].kernel_size[0]),
    "network.fc_units": (24, lambda s: s.discriminator.fc1.units),
    "network.dropout_rate": (0.25, lambda s: s.discriminator.dropout.rate),
    "game.drop_rate": (0.25, lambda s: s.damage.drop_rate),
    "game.fill": ("zero", lambda s: s.damage.fill),
    "game.gated": (False, lambda s: s.repair.blocks[0].gated),
    "game.zero_residual": (False, lambda s: s.repair.blocks[0].zero_residual),
    "game.real_images": ("original", lambda s: s.real_images),
    "game.history_batches": (3, lambda s: s.past.batches),
    "game.history_steps": (7, lambda s: s.past.steps),
    "game.adversarial_loss": ("minimax", lambda s: s.adversarial_loss),
    "game.adversarial_halves": ("both", lambda s: s.adversarial_halves),
    "game.mask_targets": ("both", lambda s: s.mask_targets),
    "game.mask_weight": (0.3, lambda s: s.mask_weight),
    "game.kept_weight": (3.0, lambda s: s.kept_weight),
    "game.repair_mask_loss": (True, lambda s: s.repair_mask_loss),
    "game.weight_decay": (1e-3, lambda s: s.weight_decay),
    "training.reconstruction_weight": (3.0, lambda s: s.autoencoder.reconstruction_weight),
    "training.batch_size": (6, lambda s: s.batch_size),
    "training.precision": ("mixed_bfloat16", lambda s: s.backbone.convs[0].dtype_policy.name),
    "training.micro_batches": (2, lambda s: s.micro_batches),
    "training.recompute": (True, lambda s: s.repair.recompute),
    "training.save_history": (False, lambda s: s.past.saved),
    "training.seed": (5, lambda s: s.damage.seed),
    "training.discriminator_learning_rate": (0.5, lambda s: float(s.optimizer.learning_rate)),
    "training.repair_learning_rate": (0.5, lambda s: float(s.optimizer_of_repair.learning_rate)),
}


def test_every_field_reaches_its_part_of_the_models():
    config = CONFIG.replace(**{name: value for name, (value, _) in FIELDS.items()})
    spotter = build_spotter(config, build_autoencoder(config))
    default = build_spotter(CONFIG, build_autoencoder(CONFIG))
    for name, (value, read) in FIELDS.items():
        assert read(spotter) == value, name
        assert read(default) != value, name


def test_switches_that_remove_a_part_reach_the_models():
    config = CONFIG.replace(**{"game.predict_mask": False, "game.history_batches": 0, "game.update": "simultaneous",
                               "network.trunk_norm": "response"})  # fmt: skip
    spotter = build_spotter(config, build_autoencoder(config))
    assert spotter.discriminator.mask_head is None and spotter.past is None and spotter.update == "simultaneous"
    assert spotter.backbone.response_norm is not None


def test_the_seed_fixes_the_first_weights():
    first, again = (build_autoencoder(CONFIG).get_weights() for _ in range(2))
    other = build_autoencoder(CONFIG.replace(**{"training.seed": 1})).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


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


def test_a_file_of_ones_own_is_the_backbone_and_begins_with_its_weights(tmp_path):
    own = KerasBackbone(small_conv(stride=4), CONV_LAYERS)
    own.save(tmp_path / "mine.keras")
    config = CONFIG.replace(**{"network.backbone": str(tmp_path / "mine.keras"), "network.stem_stride": 1})
    judge = build_discriminator(config)
    assert all(map(np.array_equal, judge.backbone.get_weights(), own.get_weights())) and judge.grid_size == 4
    with pytest.raises(UserError, match="conv5 must have the cells of the encoding, 2 x 2 .*whose conv5 has 4 x 4"):
        build_discriminator(config.replace(**{"network.stem_stride": 2}))


@pytest.mark.slow
def test_layers_of_a_model_of_keras_applications_by_name():
    changes = {"data.image_size": 32, "network.backbone": "MobileNetV2", "network.width": 0.35}
    layers = ["Conv1_relu", "block_2_add", "block_5_add", "block_9_add", "block_15_add"]
    changes |= {"network.backbone_layers": ",".join(layers), "network.stem_stride": 8}
    backbone = build_discriminator(CONFIG.replace(**{**changes, "data.image_size": 64})).backbone
    maps = backbone.compute_output_spec(keras.KerasTensor((1, 64, 64, 3)))
    assert [value.shape[1] for value in maps.values()] == [32, 16, 8, 4, 2]
    with pytest.raises(UserError, match=r"MobileNetV2 has \d+ layers, such as .*block_2_add.*; received: 'block_2_ad'"):
        build_discriminator(
            CONFIG.replace(**changes | {"network.backbone_layers": "block_2_ad,b,c,d,e", "data.image_size": 64})
        )
