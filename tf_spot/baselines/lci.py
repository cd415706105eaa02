"""Baseline: tell photos from transformed ones that look the same locally."""

from __future__ import annotations

import math

import tensorflow as tf

from tf_spot.baselines.adversarial import AdversarialPretext
from tf_spot.baselines.patch_networks import PatchDiscriminator, PatchInpainter
from tf_spot.baselines.patches import cut, whole_numbers
from tf_spot.baselines.pretext import built, classification, head_on, norm_options
from tf_spot.baselines.resampling import crop_points, sampled, smooth_field
from tf_spot.baselines.rotation import four_rotations
from tf_spot.distributed.replicas import example_uniform
from tf_spot.ops.registry import register

# Classes: untransformed and three quarter turns, 0 to 3; limited-context inpainting, 4; warp, 5.
INPAINTED, CLASSES = 4, 6
CROP_SHARE = 0.8  # of the photo's side, what the classifier sees
TILT, TILTED_SHARE = 0.07 * math.pi, 0.5  # largest small turn in radians, share of examples that get one
CONTROL_POINTS, LARGEST_MOVE = 4, 1 / 16  # of the warp: points per side; share of the photo's side
NOISE = 0.1  # standard deviation of what stands for an erased patch
RECONSTRUCTION_WEIGHT = 50.0


@register
class LimitedContext(AdversarialPretext):
    """Classifies six transformations: none, three quarter turns, a warp, and limited-context inpainting (LCI).

    LCI replaces a large patch by what a network makes of its narrow border alone: right in texture, wrong as a part of
    the object. So the six classes differ in their global statistics. The authors' precautions, which keep the local
    ones alike: the inpainter plays against a patch discriminator, which sees two patches at a time, and against the
    classifier; half of the untransformed photos, and so of the rotated ones, have a patch that passed the same network
    as an autoencoder, so that its traces do not tell; the border is narrow; and untransformed, inpainted and warped
    photos are cropped at random and half of them turned a little.

    Source: Jenni, Jin and Favaro, "Steering self-supervised feature learning beyond local pixel statistics", CVPR 2020,
    and the authors' code.
    Deviation: crops lie between pixels, so that every example is interpolated exactly once, there only warped and
    turned ones; the moves of the warp are on a grid of 4 x 4 and spread by bicubic interpolation, there at 16 random
    points and by splines; one optimizer and learning rate for all networks; upsampling before the inpainter's
    convolutions, there transposed ones; networks as narrow as the backbone; every patch is in two pairs of the
    discriminator, there in one.
    """

    task_metric_names = (
        "pretext_loss",
        "inpainter_loss",
        "discriminator_loss",
        "pretext_accuracy",
        "inpainted_found",
    )
    minimised = ("pretext_loss", "inpainter_loss")

    def build_heads(self) -> None:
        side, norm = self.grid_size(crop_size(self.image_size)), norm_options(self.backbone)
        width, size = max(8, self.channels // 4), patch_size(self.image_size)
        self.head = head_on(self, CLASSES, side, side, self.channels)
        self.inpainter = built(PatchInpainter(width, inpainter_levels(size), norm, name="inpainter"), size, size, 3)
        self.discriminator = built(PatchDiscriminator(width, name="discriminator"), size, size, 6)

    def task_metrics(
        self, images: tf.Tensor, labels: tf.Tensor | None, step: tf.Tensor | int, training: bool
    ) -> dict[str, tf.Tensor]:
        """Return the losses of all players, the accuracy and that on inpainted photos alone: float32 scalars."""
        batch, size = tf.shape(images)[0], patch_size(self.image_size)
        corners = whole_numbers(example_uniform(self.seed, 71, step, batch, (2,)), self.image_size - size + 1)
        patches = cut(images, corners[:, None], size)[:, 0]  # (batch, size, size, 3)
        erased = with_inside(patches, example_uniform(self.seed, 72, step, batch, (size, size, 3)))
        coded, filled = tf.split(self.inpainter(tf.concat([patches, erased], axis=0), training=training), 2)
        coded_photos, filled_photos = (pasted(images, opposed(x), corners) for x in (coded, filled))
        half = (tf.range(batch) < batch // 2)[:, None, None, None]
        photos = [tf.where(half, coded_photos, images), filled_photos, images]
        examples, classes = self.transformed(photos, step)  # (6 batch, crop, crop, 3)
        conv5 = self.backbone(examples, training=training)["conv5"]
        logits = self.head(conv5, training=training)  # (6 batch, CLASSES)
        inpainted = logits[INPAINTED * batch : (INPAINTED + 1) * batch]
        found = tf.equal(tf.argmax(inpainted, axis=-1, output_type=tf.int32), INPAINTED)
        game = self.game(patches, coded, filled, training)
        return classification(logits, classes) | game | {"inpainted_found": tf.reduce_mean(tf.cast(found, tf.float32))}

    def transformed(self, photos: list[tf.Tensor], step: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
        """Crop, tilt, warp and rotate.

        Args:
            photos: three of float32 (batch, size, size, 3): those to leave as they are, which are also rotated; those
                with an inpainted patch; those to warp.
            step: scalar integer, the counter of the draws.

        Returns:
            float32 (6 batch, crop, crop, 3), all of one class together, and their classes, int32 (6 batch,).
        """
        batch, crop = tf.shape(photos[0])[0], crop_size(self.image_size)
        offsets = example_uniform(self.seed, 73, step, batch, (3, 2)) * (self.image_size - crop)
        tilts = example_uniform(self.seed, 74, step, batch, (3, 2))
        angles = tf.where(tilts[..., 0] < TILTED_SHARE, (2 * tilts[..., 1] - 1) * TILT, 0.0)
        control = example_uniform(self.seed, 75, step, batch, (CONTROL_POINTS, CONTROL_POINTS, 2))
        field = smooth_field((2 * control - 1) * LARGEST_MOVE * self.image_size, crop)
        points = [crop_points(offsets[:, i], angles[:, i], crop) for i in range(3)]
        points[2] += field
        # One interpolation, whatever the class.
        unchanged, inpainted, warped = (sampled(*pair) for pair in zip(photos, points, strict=True))
        rotated, _ = four_rotations(unchanged)  # the first of the four is `unchanged`
        classes = tf.repeat(tf.range(CLASSES), batch)
        return tf.concat([rotated, inpainted, warped], axis=0), classes

    def game(self, patches: tf.Tensor, coded: tf.Tensor, filled: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Return the losses of the game for the patch, but for what the classifier adds through `opposed`.

        Args:
            patches: float32 (batch, size, size, 3) in [-1, 1], real ones.
            coded, filled: what the inpainter makes of them, and of their borders; like `patches`.
            training: the discriminator is trained.

        Returns:
            float32 scalars: "inpainter_loss", of the inpainter; "discriminator_loss", a hinge loss.
        """
        pairs = tf.concat([paired(patches), paired(filled)], axis=0)  # (2 batch, size, size, 6)
        real, fake = tf.split(self.discriminator(pairs, training=training), 2)  # (batch,) each
        border = 1 - inside(patches.shape[1])
        error = tf.reduce_sum(border * tf.math.squared_difference(filled, patches), axis=(1, 2))
        seen = tf.reduce_mean(error) / tf.reduce_sum(border)  # the inside of a filled patch is left to the game
        copied = tf.reduce_mean(tf.math.squared_difference(coded, patches))
        return {
            "inpainter_loss": RECONSTRUCTION_WEIGHT * (seen + copied) - tf.reduce_mean(fake),
            "discriminator_loss": tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + fake)),
        }


# --- sizes ------------------------------------------------------------------------------------------------------------


def crop_size(image_size: int) -> int:
    """Return the side in pixels of what the classifier sees."""
    return int(image_size * CROP_SHARE)


def patch_size(image_size: int) -> int:
    """Return the side in pixels of an inpainted patch: three fifths of the photo's, rounded down to a multiple of 8."""
    return max(1, image_size * 3 // 5 // 8) * 8


def border_size(size: int) -> int:
    """Return the pixels of a patch that stay visible on each side, 3 of 48 as the authors'."""
    return max(1, size // 16)


def inpainter_levels(size: int) -> int:
    """Return how often the inpainter halves a patch: to 4 cells a side or a few more, at most three times."""
    return min(3, int(math.log2(size // 4)))


# --- patches ----------------------------------------------------------------------------------------------------------


def inside(size: int) -> tf.Tensor:
    """Return 1 where a patch is erased, 0 on its border: float32 (1, size, size, 1)."""
    border = border_size(size)
    ones = tf.ones((1, size - 2 * border, size - 2 * border, 1))
    return tf.pad(ones, [(0, 0), (border, border), (border, border), (0, 0)])


def with_inside(patches: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Replace all but the border of patches by weak noise.

    Args:
        patches: float32 (batch, size, size, 3) in [-1, 1].
        uniform: float32 in [0, 1), like `patches`.

    Returns:
        float32, like `patches`.
    """
    erased = inside(patches.shape[1])
    noise = NOISE * math.sqrt(3) * (2 * uniform - 1)  # of the deviation NOISE
    return (1 - erased) * patches + erased * noise


def pasted(images: tf.Tensor, patches: tf.Tensor, corners: tf.Tensor) -> tf.Tensor:
    """Put a patch into each image. Differentiable by the patches.

    Args:
        images: float32 (batch, height, width, 3).
        patches: float32 (batch, size, size, 3).
        corners: int32 (batch, 2), row and column of the patch's upper left pixel.

    Returns:
        float32, like `images`.
    """
    steps = corners[:, None, :] + tf.range(patches.shape[1])[:, None]  # (batch, size, 2), rows and columns
    rows = tf.one_hot(steps[..., 0], images.shape[1])  # (batch, size, height)
    columns = tf.one_hot(steps[..., 1], images.shape[2])  # (batch, size, width)
    canvas = tf.einsum("bih,bijc,bjw->bhwc", rows, patches, columns)
    covered = tf.reduce_sum(rows, axis=1)[:, :, None, None] * tf.reduce_sum(columns, axis=1)[:, None, :, None]
    return (1 - covered) * images + canvas


def paired(patches: tf.Tensor) -> tf.Tensor:
    """Join each patch and the one before it: (batch, size, size, 3) to (batch, size, size, 6)."""
    return tf.concat([patches, tf.roll(patches, 1, axis=0)], axis=-1)


@tf.custom_gradient
def opposed(x: tf.Tensor) -> tuple[tf.Tensor, object]:
    """Return `x` itself, with the opposite of its gradient: what made it maximises what others minimise.

    Source: Ganin and Lempitsky, "Unsupervised domain adaptation by backpropagation", ICML 2015.
    """
    return tf.identity(x), tf.negative
