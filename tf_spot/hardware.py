"""What is chosen for the hardware, here and nowhere else.

Layout: images and maps are (batch, height, width, channels) on every device; oneDNN and cuDNN rearrange them for
themselves. Precision is the user's choice, `training.precision`: float32 or mixed_bfloat16, and no other.
"""

from __future__ import annotations

import tensorflow as tf

# Are training steps compiled by XLA? On a CPU its convolutions are slower than oneDNN's. On a GPU it was
# not measured; there the kernels are cuDNN's either way.
JIT_COMPILE = False


def on_cpu() -> bool:
    """Is there no GPU? Then convolutions have other gradients, see `convolutions`; on a GPU those were not measured."""
    return not tf.config.list_physical_devices("GPU")
