"""Small Keras models of one's own, made of Keras' layers alone, and layers of theirs for the five maps."""

from __future__ import annotations

import keras

layers = keras.layers

CONV_LAYERS = ["one", "two", "three", "four", "five"]


def small_conv(size: int | None = None, stride: int = 16, name: str = "small") -> keras.Model:
    """Five convolutions, batch norm after each, down to cells of `stride` pixels; a head of ten classes at last."""
    x = inputs = keras.Input((size, size, 3))
    left = stride
    for number, layer in enumerate(CONV_LAYERS):
        step = 2 if left > 1 else 1
        left //= step
        x = layers.Conv2D(4 * (number + 1), 3, strides=step, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.8, epsilon=1e-4)(x)
        x = layers.Activation("relu", name=layer)(x)
        x = layers.Dropout(0.5)(x)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)), name=name)


def small_vit(size: int = 32, patch: int = 16, channels: int = 16, depth: int = 5) -> keras.Model:
    """A vision transformer: patches, a class token, attention; the tokens of each block become a map.

    Source: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021. Deviation: a depthwise convolution of the
    patches stands for learned positions (Chu et al., "Conditional positional encodings for vision transformers", 2023).
    """
    inputs, cells = keras.Input((size, size, 3)), size // patch
    x = layers.Conv2D(channels, patch, strides=patch, name="patches")(inputs)
    x = x + layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Reshape((cells * cells, channels))(x)
    token = layers.EinsumDense("bnc,cd->bnd", (None, channels), bias_axes="d")(x[:, :1] * 0.0)  # its bias
    x, maps = layers.Concatenate(axis=1)([token, x]), []
    for number in range(1, depth + 1):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(2, channels // 2, dropout=0.1, name=f"attention{number}")(y, y)
        y = layers.Dense(2 * channels, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(channels)(y)
        maps.append(layers.Reshape((cells, cells, channels), name=f"map{number}")(x[:, 1:]))
    return keras.Model(inputs, maps, name="small_vit")
