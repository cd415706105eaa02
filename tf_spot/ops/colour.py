"""Lab colours of images: lightness apart from colour."""

from __future__ import annotations

import tensorflow as tf

# Linear sRGB to XYZ, each row divided by the white point D65. Source: IEC 61966-2-1; CIE 15.
XYZ = ((0.43395, 0.37622, 0.18983), (0.21267, 0.71516, 0.07217), (0.01776, 0.10948, 0.87276))


def lab(images: tf.Tensor) -> tf.Tensor:
    """Convert sRGB images to CIE Lab.

    Args:
        images: float32 (batch, ..., 3) in [-1, 1].

    Returns:
        float32 (batch, ..., 3): L in [0, 100], a and b in about [-110, 110].
    """
    rgb = (images + 1) / 2
    # `where` computes both branches, so each argument is kept where the power is finite.
    linear = tf.where(rgb <= 0.04045, rgb / 12.92, ((tf.maximum(rgb, 0.04045) + 0.055) / 1.055) ** 2.4)
    xyz = tf.einsum("...c,kc->...k", linear, tf.constant(XYZ))
    root = tf.where(xyz > (6 / 29) ** 3, tf.maximum(xyz, 1e-3) ** (1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = tf.unstack(root, axis=-1)
    return tf.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
