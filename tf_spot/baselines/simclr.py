"""Rival: which two views are of one photo?"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.baselines.pretext import Pretext, classification, head_on
from tf_spot.distributed.replicas import example_uniform
from tf_spot.ops.registry import register

TEMPERATURE = 0.5
PROJECTION = 128  # units of the projection
SMALLEST_CROP = 0.2  # share of the image's area
JITTER_SHARE, JITTER, HUE = 0.8, 0.4, 0.1  # how often; largest change of a factor; largest turn, of a whole circle
GREY_SHARE = 0.2

# RGB to luma and two axes of colour, YIQ; a turn of the two axes changes the hue.
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], np.float32)


@register
class SimCLR(Pretext):
    """Finds, among all views in the batch, the other view of the same image.

    Each image of the batch, already varied like everybody's, is varied twice more and strongly, which is the method's
    idea: random crops and colour jitter together, as crops alone can be matched by their colour histograms. The loss
    works on a projection that is thrown away after training.

    Source: Chen, Kornblith, Norouzi and Hinton, "A simple framework for contrastive learning of visual
    representations", ICML 2020; jitter of half strength, no blur, temperature 0.5 as in its appendix on small images.
    Deviation: crops of at least a fifth of the image, as the image is a crop itself; brightness, contrast, saturation
    and hue in this order always; Adam, and batches as small as the recipe's, which the authors found to cost accuracy.
    """

    def build_heads(self) -> None:
        self.projection = head_on(self, PROJECTION, self.channels)

    def figures(self, images: Any, labels: Any, step: Any, training: bool) -> dict[str, tf.Tensor]:
        views = tf.concat([self.view(images, step, salt) for salt in (41, 42)], axis=0)
        pooled = tf.reduce_mean(self.backbone(views, training=training)["conv5"], axis=(1, 2))
        return nt_xent(self.projection(pooled, training=training))

    def view(self, images: Any, step: Any, salt: int) -> tf.Tensor:
        """One strongly varied view of each image, like `images`."""
        draws = tf.unstack(example_uniform(self.seed, salt, step, tf.shape(images)[0], (10,)), axis=1)
        return recoloured(cropped(images, draws[:4]), draws[4:])


def nt_xent(projections: Any) -> dict[str, tf.Tensor]:
    """Cross entropy of picking the other view by cosine; (2 batch, units), views i and i + batch belong together."""
    unit = tf.math.l2_normalize(projections, axis=-1)
    views = tf.shape(unit)[0]
    itself = tf.eye(views) * 1e9
    others = (tf.range(views) + views // 2) % views
    return classification(tf.matmul(unit, unit, transpose_b=True) / TEMPERATURE - itself, others)


def cropped(images: Any, draws: Any) -> tf.Tensor:
    """A random part of each image at full size, flipped or not; four draws (batch,) in [0, 1)."""
    area, aspect, place, other = draws
    ratio = tf.exp((2 * aspect - 1) * np.log(4 / 3))
    area = SMALLEST_CROP + (1 - SMALLEST_CROP) * area
    height = tf.minimum(1.0, tf.sqrt(area / ratio))
    width = tf.minimum(1.0, tf.sqrt(area * ratio))
    flip = other < 0.5
    top, left = place * (1 - height), tf.where(flip, 2 * other, 2 * other - 1) * (1 - width)
    first, last = tf.where(flip, left + width, left), tf.where(flip, left, left + width)
    boxes = tf.stack([top, first, top + height, last], axis=1)
    return tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), images.shape[1:3])


def recoloured(images: Any, draws: Any) -> tf.Tensor:
    """Brightness, contrast, saturation and hue changed in most images, some made grey; six draws (batch,)."""
    brightness, contrast, saturation, hue, jittered, greyed = (draw[:, None, None, None] for draw in draws)
    factors = [1 + JITTER * (2 * draw - 1) for draw in (brightness, contrast, saturation)]
    changed = tf.clip_by_value((images + 1) / 2 * factors[0], 0.0, 1.0)
    yiq = tf.einsum("bhwc,kc->bhwk", changed, tf.constant(YIQ))
    luma, colour = yiq[..., :1], yiq[..., 1:]
    mean = tf.reduce_mean(luma, axis=(1, 2), keepdims=True)
    luma = mean + factors[1] * (luma - mean)
    turn = 2 * np.pi * HUE * (2 * hue - 1)
    cosine, sine, (i, q) = tf.cos(turn), tf.sin(turn), tf.split(colour, 2, axis=-1)
    turned = tf.concat([cosine * i - sine * q, sine * i + cosine * q], axis=-1) * factors[1] * factors[2]
    back = tf.constant(np.linalg.inv(YIQ).astype(np.float32))
    jitter = tf.clip_by_value(tf.einsum("bhwc,kc->bhwk", tf.concat([luma, turned], axis=-1), back), 0.0, 1.0)
    images = tf.where(jittered < JITTER_SHARE, 2 * jitter - 1, images)
    grey = tf.reduce_sum(images * tf.constant(YIQ[0]), axis=-1, keepdims=True)
    return tf.where(greyed < GREY_SHARE, tf.repeat(grey, 3, axis=-1), images)
