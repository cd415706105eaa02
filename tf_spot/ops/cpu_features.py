"""What is chosen for the hardware, here and nowhere else.

Layout: images and maps are (batch, height, width, channels) on every device; oneDNN and cuDNN rearrange them for
themselves. Precision is the user's choice, `training.precision`: float32 or mixed_bfloat16, and no other.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import tensorflow as tf

# Are training steps compiled by XLA? On a CPU its convolutions are slower than oneDNN's. On a GPU it was
# not measured; there the kernels are cuDNN's either way.
JIT_COMPILE = False


def on_cpu() -> bool:
    """Is there no GPU? Then convolutions have other gradients, see `convolutions`; on a GPU those were not measured."""
    return not tf.config.list_physical_devices("GPU")


@functools.cache
def processor_flags() -> frozenset[str]:
    """What the processor says it has, such as `avx2`; nothing where there is no /proc/cpuinfo."""
    file = Path("/proc/cpuinfo")
    return frozenset(re.findall(r"\w+", file.read_text(encoding="utf-8")) if file.is_file() else ())


def narrow_vectors() -> bool:
    """Has the processor AVX2 and no AVX-512? oneDNN then lacks some of its faster gradients, see `convolutions`."""
    return "avx2" in processor_flags() and "avx512f" not in processor_flags()
