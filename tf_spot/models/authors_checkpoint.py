"""The authors' TensorFlow 1 checkpoint as an `ArtifactSpotter`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.config import ENCODER_CHANNELS, preset
from tf_spot.errors import UserError
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.spotter import ArtifactSpotter

LEVELS = 4  # stride-2 layers of the authors' encoder; their one architecture
DECONVS = (0, 1, 2, 4, 5)  # how the authors number the decoder's layers
# What TF1 training saves beside the weights: the optimizer's moments, its powers of beta, moving averages, the step.
_TRAINING_STATE = re.compile(
    r"(.*/)?(Adam(_\d+)?|Momentum(_\d+)?|ExponentialMovingAverage|beta[12]_power(_\d+)?|global_step)"
)


def load_authors_checkpoint(path: str) -> ArtifactSpotter:
    """Read a TF1 checkpoint of the authors' public code.

    Args:
        path: the checkpoint's prefix (the path without `.index`), or its folder.

    Returns:
        an `ArtifactSpotter` with the preset `authors2019`, at the checkpoint's image size and width, not compiled.

    Raises:
        UserError: the checkpoint cannot be read, or a variable is missing, unknown or of another shape.
    """
    try:
        reader = tf.train.load_checkpoint(str(path))
        values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"cannot read a TensorFlow 1 checkpoint; wanted its prefix, the path without .index; received: {path}"
        ) from error
    return from_authors_variables(values)


def from_authors_variables(values: Mapping[str, np.ndarray]) -> ArtifactSpotter:
    """Make an `ArtifactSpotter` from arrays under the authors' names; see `load_authors_checkpoint`."""
    values = {name: value for name, value in values.items() if not _TRAINING_STATE.fullmatch(name)}
    spotter = _empty_spotter(values)
    table = variable_table(spotter)
    unknown = sorted(set(values) - {name for names in table for name in names})
    if unknown:
        raise UserError(f"the checkpoint holds a variable that the authors' model does not have: {unknown[0]}")
    for names, variable in table.items():
        variable.assign(_joined(values, names, tuple(variable.shape)))
    return spotter


def variable_table(spotter: ArtifactSpotter) -> dict[tuple[str, ...], Any]:
    """Map the authors' names to our variables; a grouped convolution has one name for each group.

    Returns:
        {authors' names: this model's variable}; the arrays under the names, joined along the last axis, are its value.
    """
    table: dict[tuple[str, ...], Any] = {}
    for scopes, conv, norm in _layers(spotter):
        leaves = {"weights": conv.kernel, "biases": conv.bias if conv.use_bias else None}
        if norm is not None:
            leaves |= {f"BatchNorm/{leaf}": getattr(norm, leaf) for leaf in ("moving_mean", "moving_variance", "beta")}
            leaves["BatchNorm/gamma"] = norm.gamma if norm.scale else None
        for leaf, variable in leaves.items():
            if variable is not None:
                table[tuple(f"{scope}/{leaf}" for scope in scopes)] = variable
    return table


def _layers(spotter: ArtifactSpotter) -> list[tuple[list[str], Any, Any]]:
    """(the authors' scopes, our convolution or dense layer, our batch norm or None), layer by layer."""
    encoder, decoder = spotter.autoencoder.encoder, spotter.autoencoder.decoder
    discriminator, backbone = spotter.discriminator, spotter.backbone
    rows: list[tuple[list[str], Any, Any]] = []
    rows += [([f"encoder/conv_{i}"], stage.conv, stage.norm) for i, stage in enumerate(encoder.stages)]
    *blocks, last = zip(DECONVS, decoder.stages, strict=True)
    rows += [([f"decoder/deconv_{i}"], stage.conv, stage.norm) for i, stage in blocks]
    rows += [([f"decoder/deconv_{last[0]}"], last[1], None)]
    for i, block in enumerate(spotter.repair.blocks):
        rows += [([f"generator/repair_{i}/conv1"], block.first.conv, block.first.norm)]
        rows += [([f"generator/repair_{i}/conv2"], block.second, None)]
    # A grouped convolution of theirs is one variable for each group.
    for i, (conv, norm) in enumerate(zip(backbone.convs, backbone.norms, strict=True), start=1):
        scope = f"discriminator/conv_{i}"
        groups = [f"{scope}/conv_{group}" for group in range(conv.groups)]
        rows += [(groups if conv.groups > 1 else [scope], conv, norm)]
    rows += [(["discriminator/drop_pred"], discriminator.mask_head, None)]
    rows += [(["discriminator/fc_1"], discriminator.fc1, discriminator.fc1_norm)]
    rows += [(["discriminator/fc_2"], discriminator.fc2, None)]
    return rows


def _empty_spotter(values: Mapping[str, np.ndarray]) -> ArtifactSpotter:
    """Make the model at the checkpoint's sizes, which follow from three of its shapes."""
    config = preset("authors2019")
    network, game = config.network, config.game
    encoding_channels = _shape(values, f"encoder/conv_{LEVELS}/weights")[-1]
    width = encoding_channels / (ENCODER_CHANNELS * 2**LEVELS)
    grid, _, _, fc_units = _shape(values, "discriminator/fc_1/weights")
    image_size = grid * 2**LEVELS  # fc_1 covers the whole grid of conv5, which is that of the encoding
    autoencoder = Autoencoder(
        image_size, width, LEVELS, network.encoder_kernel, network.negative_slope, network.norm_momentum,
        network.norm_epsilon, encoding_channels, config.training.reconstruction_weight, game.weight_decay,
    )  # fmt: skip
    discriminator = Discriminator(
        image_size=image_size,
        width=width,
        stem_kernel=_shape(values, "discriminator/conv_1/weights")[0],
        stem_stride=network.stem_stride,
        trunk_norm=network.trunk_norm,
        norm_momentum=network.norm_momentum,
        norm_epsilon=network.norm_epsilon,
        fc_units=fc_units,
        dropout_rate=network.dropout_rate,
    )
    return ArtifactSpotter(
        autoencoder,
        discriminator,
        drop_rate=game.drop_rate,
        fill=game.fill,
        gated=game.gated,
        real_images=game.real_images,
        history_batches=game.history_batches,
        update=game.update,
        adversarial_loss=game.adversarial_loss,
        adversarial_halves=game.adversarial_halves,
        mask_targets=game.mask_targets,
        mask_weight=game.mask_weight,
        kept_weight=game.kept_weight,
        repair_mask_loss=game.repair_mask_loss,
        weight_decay=game.weight_decay,
    )


def _array(values: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in values:
        raise UserError(f"the checkpoint lacks a variable of the authors' model: {name}")
    return np.asarray(values[name], "float32")


def _shape(values: Mapping[str, np.ndarray], name: str) -> tuple[int, int, int, int]:
    shape = _array(values, name).shape
    if len(shape) != 4:
        raise UserError(f"{name} must be a kernel of 4 axes; received: shape {shape}")
    return shape


def _joined(values: Mapping[str, np.ndarray], names: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
    """The arrays under `names` as one of `shape`."""
    arrays = [_array(values, name) for name in names]
    *leading, last = shape
    for name, array in zip(names, arrays, strict=True):
        flat = array.reshape(-1, array.shape[-1]) if len(shape) == 2 and array.ndim == 4 else array  # conv to dense
        wanted = (*leading, last // len(names))
        if flat.shape != wanted:
            raise UserError(
                f"{name} does not fit the authors' model at the checkpoint's size; wanted: shape {wanted}; "
                f"received: shape {array.shape}"
            )
    return np.concatenate([array.reshape(*leading, -1) for array in arrays], axis=-1)
