"""Build untrained networks from a configuration: the one place that spends its fields on the models."""

from __future__ import annotations

from typing import Any

import keras

from tf_spot.config import Config, is_own_backbone
from tf_spot.errors import UserError
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones import Application, Backbone, load_own
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.gan import GAN
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.ops.fused_adam import FusedAdam


def build_autoencoder(config: Config) -> Autoencoder:
    """Make an untrained autoencoder, its optimizer set; the same seed gives the same weights."""
    network, training = config.network, config.training
    keras.utils.set_random_seed(training.seed)
    autoencoder = Autoencoder(
        image_size=config.data.image_size,
        width=network.width,
        levels=network.levels,
        encoder_kernel=network.encoder_kernel,
        encoding_channels=network.encoding_channels,
        negative_slope=network.negative_slope,
        norm_momentum=network.norm_momentum,
        norm_epsilon=network.norm_epsilon,
        reconstruction_weight=training.reconstruction_weight,
        weight_decay=config.game.weight_decay,
        dtype=training.precision,
    )
    optimizer = adam(config, training.autoencoder_learning_rate, training.autoencoder_steps)
    autoencoder.compile(optimizer, micro_batches=training.micro_batches, recompute=training.recompute)
    return autoencoder


def build_spotter(config: Config, autoencoder: Autoencoder, backbone: Backbone | None = None) -> ArtifactSpotter:
    """Make an untrained spotter around `autoencoder`, its optimizers set; the same seed gives the same weights.

    `backbone` as for `build_discriminator`.
    """
    game, training = config.game, config.training
    keras.utils.set_random_seed(training.seed)
    # Row (l) has a generator in place of the repair network, and so no placement of repair.
    kind: dict[str, Any] = {} if game.repair == "gan" else {"repair": game.repair}
    spotter = (GAN if game.repair == "gan" else ArtifactSpotter)(
        autoencoder,
        build_discriminator(config, backbone),
        **kind,
        drop_rate=game.drop_rate,
        fill=game.fill,
        gated=game.gated,
        zero_residual=game.zero_residual,
        real_images=game.real_images,
        history_batches=game.history_batches,
        history_steps=game.history_steps,
        batch_size=training.batch_size,
        update=game.update,
        adversarial_loss=game.adversarial_loss,
        adversarial_halves=game.adversarial_halves,
        mask_targets=game.mask_targets,
        mask_weight=game.mask_weight,
        kept_weight=game.kept_weight,
        repair_mask_loss=game.repair_mask_loss,
        weight_decay=game.weight_decay,
        seed=training.seed,
        dtype=training.precision,
    )
    if spotter.past is not None:
        spotter.past.saved = training.save_history
    spotter.compile(
        adam(config, training.discriminator_learning_rate, training.spotter_steps),
        adam(config, training.repair_learning_rate, training.spotter_steps),
        micro_batches=training.micro_batches,
        recompute=training.recompute,
    )
    return spotter


def build_discriminator(config: Config, backbone: Backbone | None = None) -> Discriminator:
    """Make an untrained discriminator.

    Args:
        config: the recipe.
        backbone: used, not copied. None: the recipe's, at random weights, at those of ImageNet, or at those in the file
            of one's own.

    Raises:
        UserError: the file is no backbone, its cells are not those of the encoding, or weights cannot be downloaded.
    """
    network = config.network
    given = first_backbone(config) if backbone is None else backbone
    discriminator = Discriminator(
        image_size=config.data.image_size,
        backbone=network.backbone if given is None else given,
        layers=network.backbone_layers_list if given is None else None,
        width=network.width,
        stem_kernel=network.stem_kernel,
        stem_stride=network.stem_stride,
        trunk_norm=network.trunk_norm,
        norm_momentum=network.norm_momentum,
        norm_epsilon=network.norm_epsilon,
        fc_units=network.fc_units,
        dropout_rate=network.dropout_rate,
        predict_mask=config.game.predict_mask,
        seed=config.training.seed,
        dtype=config.training.precision,
    )
    check_cells(config, discriminator.backbone)
    return discriminator


def check_cells(config: Config, backbone: Backbone) -> None:
    """Raise a `UserError` unless the cells of conv5 are those of the encoding."""
    network, pixels = config.network, config.data.image_size
    cells, found = pixels // 2**network.levels, backbone.grid_size(pixels)
    if found != cells:
        raise UserError(
            f"conv5 must have the cells of the encoding, {cells} x {cells} with network.stem_stride="
            f"{network.stem_stride}; received: network.backbone={network.backbone}, whose conv5 has "
            f"{found} x {found} at {pixels} pixels; choose layers, or a stem stride of 1, 2, 4 or 8 for cells of 4, 8, "
            "16 or 32 pixels"
        )


def first_backbone(config: Config) -> Backbone | None:
    """Make a backbone that begins with weights; None for one that begins at random.

    Raises:
        UserError: the file is no backbone, or weights cannot be downloaded.
    """
    network, precision = config.network, config.training.precision
    if is_own_backbone(network.backbone):
        return load_own(network.backbone, precision)
    if network.backbone_weights == "random":
        return None
    backbone = Application(
        network.backbone,
        network.width,
        network.norm_momentum,
        norm_epsilon=None,  # the weights were learned with the model's own
        layers=network.backbone_layers_list,
        dtype=precision,
    )
    backbone.load_imagenet()
    return backbone


def adam(config: Config, learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
    """Make Adam whose rate falls linearly and then stays. The schedule counts the optimizer's own saved updates."""
    training = config.training
    schedule = keras.optimizers.schedules.PolynomialDecay(
        learning_rate,
        decay_steps=max(1, round(training.decay_share * steps)),
        end_learning_rate=training.final_learning_rate_share * learning_rate,
    )
    return FusedAdam(schedule, beta_1=training.adam_beta_1, epsilon=training.adam_epsilon)
