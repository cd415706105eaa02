"""Baseline: invert a generator of images."""

from __future__ import annotations

import keras
import tensorflow as tf

from tf_spot.baselines.adversarial import AdversarialPretext
from tf_spot.baselines.pretext import built, head_on, norm_options
from tf_spot.distributed.replicas import example_uniform
from tf_spot.models.layers import INITIALIZER, BatchNorm, ConvBlock, UpConv
from tf_spot.ops.registry import InputShape, NormOptions, register

LATENT = 50  # numbers that describe an image
SLOPE = 0.2  # of the leaky ReLUs
SMALLEST_MAP = 4  # cells a side at least, of the first map of the generator and the last of the discriminator


@register
class BiGAN(AdversarialPretext):
    """Encodes photos so that pairs of photo and code look like pairs of generated image and the noise it is made from.

    A discriminator sees such pairs and tells which side they come from; encoder and generator minimise its loss with
    both labels swapped. To deceive it they must invert each other, though neither sees the other's outputs. As with the
    authors all three are updated at once from the same batch, noise is uniform in [-1, 1], and the encoder's last layer
    is linear.

    Source: Donahue, Krähenbühl and Darrell, "Adversarial feature learning", ICLR 2017.
    Deviation: 50 numbers of noise, there 200; bilinear upsampling and 3x3 convolutions in the generator, there
    transposed ones; the discriminator joins the code to the image after its convolutions, there it is added before
    every nonlinearity.
    """

    task_metric_names = ("pretext_loss", "discriminator_loss", "pretext_accuracy")

    def build_heads(self) -> None:
        side, norm = self.grid_size(self.image_size), norm_options(self.backbone)
        self.to_code = head_on(self, LATENT, side, side, self.channels)
        self.generator = built(Generator(self.image_size, self.channels, norm, name="generator"), LATENT)
        self.discriminator = built(
            PairDiscriminator(self.channels, self.units, norm, name="discriminator"), self.image_size
        )

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return the losses of both sides and how often the discriminator is right: float32 scalars."""
        batch = tf.shape(images)[0]
        noise = 2 * example_uniform(self.seed, 61, step, batch, (LATENT,)) - 1
        seen = tf.concat([images, self.generate(noise, training)], axis=0)  # (2 batch, size, size, 3)
        codes = tf.concat([self.encode(images, training), noise], axis=0)  # (2 batch, LATENT)
        photo, generated = tf.split(self.discriminator(seen, codes, training=training), 2)  # (batch, 1) each
        right = [photo > 0, generated < 0]
        return {
            "pretext_loss": tf.reduce_mean(tf.nn.softplus(photo) + tf.nn.softplus(-generated)),
            "discriminator_loss": tf.reduce_mean(tf.nn.softplus(-photo) + tf.nn.softplus(generated)),
            "pretext_accuracy": tf.reduce_mean(tf.cast(right, tf.float32)),
        }

    def encode(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the codes of images (batch, size, size, 3): float32 (batch, LATENT)."""
        return self.to_code(self.backbone(images, training=training)["conv5"], training=training)

    def generate(self, codes: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the images of codes (batch, LATENT): float32 (batch, size, size, 3) in [-1, 1]."""
        return self.generator(codes, training=training)


def doublings(image_size: int) -> int:
    """Return how often the smallest map is doubled to make the image; its side must stay whole."""
    count = 0
    while image_size % 2 == 0 and image_size // 2 >= SMALLEST_MAP:
        image_size, count = image_size // 2, count + 1
    return count


class Generator(keras.layers.Layer):
    """A dense layer to a small map, then as many `UpConv` as double it to the image.

    Args:
        image_size: pixels.
        channels: of the first map; halved by every doubling.
        norm: settings of the batch norms.

    Call arguments:
        codes: (batch, units).
        training: batch norm uses the batch's moments.

    Returns:
        (batch, image_size, image_size, 3) in [-1, 1].
    """

    def __init__(self, image_size: int, channels: int, norm: NormOptions, name: str) -> None:
        super().__init__(name=name)
        count = doublings(image_size)
        self.side, self.channels = image_size // 2**count, [max(8, channels // 2**i) for i in range(count + 1)]
        self.dense = keras.layers.Dense(
            self.side**2 * channels, use_bias=False, kernel_initializer=INITIALIZER, name="dense"
        )
        momentum, epsilon = norm["norm_momentum"], norm["norm_epsilon"]
        self.norm = BatchNorm(momentum=momentum, epsilon=epsilon, name="norm")
        self.ups = [
            UpConv(width, 3, negative_slope=0.0, name=f"up{i}", norm_momentum=momentum, norm_epsilon=epsilon)
            for i, width in enumerate(self.channels[1:], 1)
        ]
        self.last = keras.layers.Conv2D(3, 3, padding="same", kernel_initializer=INITIALIZER, name="last")

    def build(self, input_shape: InputShape) -> None:
        built(self.dense, input_shape[-1])
        built(self.norm, self.dense.units)
        for up, width in zip(self.ups, self.channels, strict=False):
            built(up, None, None, width)
        built(self.last, None, None, self.channels[-1])

    def call(self, codes: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = tf.nn.relu(self.norm(self.dense(codes), training=training))
        x = tf.reshape(x, (-1, self.side, self.side, self.channels[0]))
        for up in self.ups:
            x = up(x, training=training)  # doubles height and width
        return tf.tanh(self.last(x))


class PairDiscriminator(keras.layers.Layer):
    """Tells pairs of photo and code from pairs of generated image and noise.

    Args:
        channels: of the last map of the image; every halving of the image doubles them.
        units: of the hidden layers: one on the code, one on the two joined.
        norm: settings of the batch norms.

    Call arguments:
        images: (batch, size, size, 3), photos and generated ones in one batch.
        codes: (batch, LATENT).
        training: batch norm uses the batch's moments.

    Returns:
        logits (batch, 1), high for photos.
    """

    def __init__(self, channels: int, units: int, norm: NormOptions, name: str) -> None:
        super().__init__(name=name)
        self.channels, self.units, self.norm = channels, units, norm

    def build(self, input_shape: InputShape) -> None:
        size = input_shape[-1]
        count = doublings(size)
        widths = [max(8, self.channels // 2 ** (count - 1 - i)) for i in range(count)]
        # No norm on the first layer: it would hide how bright and how varied the image is.
        self.first = built(
            keras.layers.Conv2D(widths[0], 4, 2, padding="same", kernel_initializer=INITIALIZER, name="conv0"),
            *(size, size, 3),
        )
        self.convs = []
        for i, width in enumerate(widths[1:], 1):
            conv = ConvBlock(width, 4, 2, negative_slope=SLOPE, name=f"conv{i}", **self.norm)
            self.convs.append(built(conv, None, None, widths[i - 1]))
        features = (size // 2**count) ** 2 * widths[-1]
        self.of_code = built(keras.layers.Dense(self.units, name="of_code"), LATENT)
        self.joint = built(keras.layers.Dense(self.units, name="joint"), features + self.units)
        self.logit = built(keras.layers.Dense(1, name="logit"), self.units)

    def call(self, images: tf.Tensor, codes: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = tf.nn.leaky_relu(self.first(images), SLOPE)
        for conv in self.convs:
            x = conv(x, training=training)  # halves height and width
        pair = [tf.reshape(x, (tf.shape(x)[0], -1)), tf.nn.leaky_relu(self.of_code(codes), SLOPE)]
        return self.logit(tf.nn.leaky_relu(self.joint(tf.concat(pair, axis=1)), SLOPE))
