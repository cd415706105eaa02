"""The choices that depend on the hardware, all in one place.

A `Form` says how a step is computed where there are several ways to the same numbers. The forms of CPUs were chosen by
`benchmarks/run.py`. Those of GPUs follow a profile of a step on one, `results/benchmarks/h100-kernels.json`;
`benchmarks/gpu.py` times other ones beside them.

Layout: images and maps are (batch, height, width, channels) on every device; oneDNN and cuDNN rearrange them for
themselves. Precision is the user's choice, `training.precision`: float32 or mixed_bfloat16, and no other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf


@dataclass(frozen=True)
class Form:
    """How a step is computed; the numbers are the same but for rounding.

    Attributes:
        jit_compile: whole steps are compiled by XLA.
        own_gradients: convolutions have the gradients of `convolutions.convolve` where those are faster.
        kernel_before_upsampling: `convolutions.convolve_upsampled` multiplies by the kernel first, on fewer cells.
        upsample_by_products: bfloat16 maps are upsampled by two matrix products, not by TensorFlow in float32.
        mask_apart: a convolution of maps joined with a mask is one of the maps plus one of the mask. The channels of
            the maps are multiples of 8, those of both together are not.
        groups_at_once: in training a grouped convolution is one operation, not one for each group.
        stem_of_blocks: a convolution of three channels with a stride is one of blocks of pixels without a stride.
        shifted_maps: pooling, response norm and upsampling are those of `shifted_maps`.
    """

    jit_compile: bool
    own_gradients: bool
    kernel_before_upsampling: bool
    upsample_by_products: bool
    mask_apart: bool
    groups_at_once: bool
    stem_of_blocks: bool
    shifted_maps: bool


# XLA's convolutions are slower than oneDNN's.
CPU = Form(
    jit_compile=False,
    own_gradients=True,
    kernel_before_upsampling=True,
    upsample_by_products=True,
    mask_apart=False,
    groups_at_once=False,
    stem_of_blocks=False,
    shifted_maps=False,
)
# XLA excludes `training.deterministic` on a GPU: in it TensorFlow 2.21 has no deterministic gradient of pooling.
GPU = Form(
    jit_compile=False,
    own_gradients=False,
    kernel_before_upsampling=False,
    upsample_by_products=True,
    mask_apart=True,
    groups_at_once=False,
    stem_of_blocks=True,
    shifted_maps=False,
)
FORMS = tuple(field.name for field in dataclasses.fields(Form))

_trials: list[Form] = []  # not a context variable: replicas are traced in threads of their own


def form() -> Form:
    """Return the form of this machine, or that of a running `trial`."""
    if _trials:
        return _trials[-1]
    return CPU if on_cpu() else GPU


@contextlib.contextmanager
def trial(**changes: bool) -> Iterator[None]:
    """Inside, what is traced has a form with these changes: for measurements and tests."""
    _trials.append(dataclasses.replace(form(), **changes))
    try:
        yield
    finally:
        _trials.pop()


def on_cpu() -> bool:
    """True if no GPU is visible."""
    return not tf.config.list_physical_devices("GPU")


@functools.cache
def processor_flags() -> frozenset[str]:
    """Return the processor's features, such as `avx2`; none where there is no /proc/cpuinfo."""
    file = Path("/proc/cpuinfo")
    return frozenset(re.findall(r"\w+", file.read_text(encoding="utf-8")) if file.is_file() else ())


def narrow_vectors() -> bool:
    """True if the processor has AVX2 and no AVX-512: oneDNN then lacks some of its faster gradients."""
    return "avx2" in processor_flags() and "avx512f" not in processor_flags()
