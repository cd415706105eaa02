"""The choices that depend on the hardware, all in one place.

Layout: images and maps are (batch, height, width, channels) on every device; oneDNN and cuDNN rearrange them for
themselves. Precision is the user's choice, `training.precision`: float32 or mixed_bfloat16, and no other.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import tensorflow as tf

# Training steps are not compiled by XLA. On a CPU its convolutions are slower than oneDNN's. On a GPU it was not
# measured; there the kernels are cuDNN's either way.
JIT_COMPILE = False


def on_cpu() -> bool:
    """True if no GPU is visible: convolutions then have other gradients, which were measured on CPUs alone."""
    return not tf.config.list_physical_devices("GPU")


@functools.cache
def processor_flags() -> frozenset[str]:
    """Return the processor's features, such as `avx2`; none where there is no /proc/cpuinfo."""
    file = Path("/proc/cpuinfo")
    return frozenset(re.findall(r"\w+", file.read_text(encoding="utf-8")) if file.is_file() else ())


def narrow_vectors() -> bool:
    """True if the processor has AVX2 and no AVX-512: oneDNN then lacks some of its faster gradients."""
    return "avx2" in processor_flags() and "avx512f" not in processor_flags()
