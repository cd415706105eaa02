"""Baseline: no training at all, only weights that fit the data."""

from __future__ import annotations

import time

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from tf_spot.data.source import Source
from tf_spot.models.backbones import Backbone
from tf_spot.models.data_dependent_init import check_rescalable, unit_variance

IMAGES = 256  # to which the weights are fitted
PATCHES = 20_000
WHITENING = 0.1  # added to every variance, as a share of their mean


def initialise(backbone: Backbone, source: Source, seed: int) -> tuple[int, float]:
    """Fit an untrained backbone to some images of the training stream, without any gradient.

    The filters of the first convolution become the centres that k-means finds among whitened patches; all other filters
    stay random. Then, layer by layer, every channel is shifted and scaled so that it has mean 0 and variance 1 over the
    images, see `unit_variance`.

    Args:
        backbone: changed in place.
        source: the photos; the training stream is read.
        seed: of the stream, the patches and k-means.

    Returns:
        images used, seconds taken.

    Raises:
        UserError: a backbone that cannot be rescaled, see `check_rescalable`.

    Source: Kraehenbuehl, Doersch, Donahue and Darrell, "Data-dependent initializations of convolutional neural
    networks", ICLR 2016; whitened patches from Coates and Ng, "Learning feature representations with k-means", 2012.
    Deviation: k-means for the first convolution only; no balancing of the layers' learning speeds, as nothing is
    trained afterwards.
    """
    check_rescalable(backbone)
    count = min(IMAGES, source.count("unlabelled"))
    images = next(iter(source.unlabelled(count, seed=seed)))
    started = time.perf_counter()
    conv = backbone.first_conv
    size, _, _, filters = conv.kernel.shape  # (size, size, 3, filters)
    # Patches of what the convolution sees: in its units, and in its order of channels.
    patches = random_patches(backbone.first_inputs(images * 127.5 + 127.5).numpy(), size, seed)
    conv.kernel.assign(kmeans_filters(patches, filters, seed).reshape(conv.kernel.shape))
    unit_variance(backbone, images)
    return count, time.perf_counter() - started


def random_patches(images: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Cut patches at random offsets out of random images.

    Args:
        images: (batch, height, width, channels).
        size: pixels, both sides of a patch.
        seed: of the choice.

    Returns:
        float32 (PATCHES, size * size * channels), channels changing fastest as in a kernel.
    """
    numbers = np.random.default_rng(seed)
    which = numbers.integers(len(images), size=PATCHES)
    rows, columns = (numbers.integers(side - size + 1, size=PATCHES) for side in images.shape[1:3])
    # (PATCHES, channels, size, size): a window's own axes come last
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))[which, rows, columns]
    return np.moveaxis(windows, 1, -1).reshape(PATCHES, -1).astype(np.float32)


def kmeans_filters(patches: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return filters whose responses are the whitened products of a patch with k-means centres.

    Args:
        patches: float32 (patches, values), see `random_patches`.
        count: number of filters.
        seed: of the first centres.

    Returns:
        float32 (values, count).
    """
    centred = patches - patches.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(centred, rowvar=False))
    whitening = axes / np.sqrt(variances + WHITENING * variances.mean()) @ axes.T  # (values, values)
    # One thread: the order of sums, and with it the centres, must not depend on the number of cores.
    with threadpool_limits(1):
        fitted = KMeans(count, n_init=1, max_iter=30, random_state=seed).fit(centred @ whitening)
    centres = fitted.cluster_centers_ / np.linalg.norm(fitted.cluster_centers_, axis=1, keepdims=True)
    filters: np.ndarray = (whitening @ centres.T).astype(np.float32)
    return filters
