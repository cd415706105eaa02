"""Signals of whether stage 2 learns or the game has tipped over, measured on photos held out of training."""

from __future__ import annotations

import time
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from tf_spot.data.source import Source
from tf_spot.features.nearest import nearest_neighbours
from tf_spot.features.ridge import RidgeSums, choose_strength
from tf_spot.image_quality.copies import copy_quality
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.training.position import Position
from tf_spot.training.repair_signals import copy_signals

GAME_PHOTOS = 256  # at most; each holds dozens of mask cells
NEIGHBOURS = 20
FOLDS = 5  # of the online linear probe
_BATCH = 64  # photos at a time


class HealthSignals(keras.callbacks.Callback):
    """Add health signals to the logs of an epoch, for the callbacks after it.

    Every epoch, on some of the photos: `held_out_decoded_accuracy` and `held_out_repaired_accuracy` (both at 1: the
    discriminator has won; one at 0: it gives every image the same class), `held_out_mask_auc`. Every `probe_every`
    epochs, on all: `feature_std` and `effective_rank` of the pooled conv5 (both fall when features collapse) and, with
    labels, `knn_accuracy` and `linear_accuracy`; `probe_seconds` is what these took. What could not be measured, such
    as an area under the curve without pairs, is left out. No weight is changed, and no random number drawn.

    Args:
        position: of the stage.
        source: gives its held-out training photos, never its test split.
        probe_every: epochs between two probes.
        linear: whether to measure `linear_accuracy`.
    """

    def __init__(self, position: Position, source: Source, probe_every: int, linear: bool = True) -> None:
        super().__init__()
        self.position, self.probe_every, self.linear = position, probe_every, linear
        self.held_out = source.held_out(_BATCH)  # opened once: each opening traces a graph
        self.labelled = knn_photos(source) if source.has_labels else None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is None:
            return
        signals = game_signals(self.model, self.held_out.take(GAME_PHOTOS // _BATCH))
        if self.position.every(self.probe_every):
            signals |= self._probes()
        logs |= {name: value for name, value in signals.items() if value is not None}

    def _probes(self) -> dict[str, float | None]:
        started = time.perf_counter()
        signals: dict[str, float | None] = {}
        signals |= feature_signals(pooled_features(self.model, self.held_out)[0])
        if self.labelled is not None:
            features, labels = pooled_features(self.model, self.labelled)
            signals["knn_accuracy"] = knn_accuracy(features, labels)
            if self.linear:
                signals["linear_accuracy"] = linear_accuracy(features, labels)
        return signals | {"probe_seconds": round(time.perf_counter() - started, 3)}


class HeldOutReconstruction(keras.callbacks.Callback):
    """Stage 1: add `held_out_reconstruction_loss` and the signals of `copy_signals` to the logs of an epoch."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.held_out = source.held_out(_BATCH)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is None:
            return
        pairs = [(images.numpy(), self.model(images).numpy()) for images in self.held_out]
        # One error per photo, as a mean over batches would give those of a smaller last batch more weight.
        errors = [np.square(copies - images).mean(axis=(1, 2, 3)) for images, copies in pairs]
        logs["held_out_reconstruction_loss"] = float(np.mean(np.concatenate(errors)))
        logs |= copy_signals(copy_quality(pairs))


def game_signals(spotter: ArtifactSpotter, held_out: Iterable[tf.Tensor]) -> dict[str, float | None]:
    """Measure the discriminator on held-out photos, at inference.

    The damage of each batch is drawn by its index, so that the signals of two epochs are of the same damage.

    Args:
        spotter: trained or not.
        held_out: batches of images, float32 (batch, height, width, 3) in [-1, 1].

    Returns:
        accuracy on decoded and on repaired images and, with a mask head, its area under the ROC curve on repaired
        images, None where every cell or no cell was kept.
    """
    real_right, corrupt_right, masks, kept = [], [], [], []
    for index, images in enumerate(held_out):
        corrupted = spotter.corrupt(images, tf.constant(index))
        about_real = spotter.discriminator(spotter.real(images, corrupted))
        about_corrupt = spotter.discriminator(corrupted.repaired)
        real_right.append(tf.argmax(about_real["realness_logits"], axis=1) == 1)  # (batch,)
        corrupt_right.append(tf.argmax(about_corrupt["realness_logits"], axis=1) == 0)
        if "mask_logits" in about_corrupt:
            masks.append(tf.reshape(about_corrupt["mask_logits"], [-1]))  # (batch * h * w,)
            kept.append(tf.reshape(corrupted.keep_mask, [-1]))  # (batch * h * w,)
    signals: dict[str, float | None] = {
        "held_out_decoded_accuracy": float(np.mean(np.concatenate(real_right))),
        "held_out_repaired_accuracy": float(np.mean(np.concatenate(corrupt_right))),
    }
    if masks:
        signals["held_out_mask_auc"] = auc(np.concatenate(kept) == 1, np.concatenate(masks))
    return signals


def auc(positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Return the area under the ROC curve: the share of (positive, negative) pairs in order, ties counting half.

    Args:
        positive: bool (examples,).
        scores: float (examples,), higher for positives.

    Returns:
        None where there are no pairs.
    """
    from sklearn.metrics import roc_auc_score

    if positive.all() or not positive.any():
        return None
    return float(roc_auc_score(positive, scores))


def pooled_features(
    spotter: ArtifactSpotter, photos: Iterable[tf.Tensor | tuple[tf.Tensor, tf.Tensor]]
) -> tuple[np.ndarray, np.ndarray]:
    """Average conv5 over the map.

    Args:
        spotter: with the backbone.
        photos: batches of images (batch, height, width, 3), or of images and labels (batch,).

    Returns:
        features float32 (photos, channels), and the labels int32 (photos,), empty if `photos` has none.
    """
    features: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for batch in photos:
        images, *label = batch if isinstance(batch, tuple) else (batch,)
        # (batch, h, w, channels) to (batch, channels)
        features.append(tf.reduce_mean(spotter.backbone(images)["conv5"], axis=(1, 2)).numpy())
        labels.extend(np.asarray(part) for part in label)
    return np.concatenate(features), np.concatenate(labels) if labels else np.empty(0, np.int32)


def feature_signals(features: np.ndarray) -> dict[str, float]:
    """Measure how much features vary over photos, and in how many directions.

    The effective rank is the exponential of the entropy of the normalised singular values of the centred features:
    k when k directions share the variation alike, near 1 when one has it all.

    Args:
        features: (photos, channels).

    Returns:
        `feature_std`, the mean over channels of the standard deviation over photos, and `effective_rank`.

    Source: Roy & Vetterli, EUSIPCO 2007.
    """
    centred = features - features.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False)  # (min(photos, channels),)
    shares = values[values > 0] / max(values.sum(), np.finfo(np.float32).tiny)
    rank = float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0
    return {"feature_std": float(features.std(axis=0).mean()), "effective_rank": rank}


def knn_photos(source: Source) -> tf.data.Dataset:
    """Return labelled photos that are not trained on: those held out or, if they have no labels, the split `train`."""
    held_out = source.held_out_labelled(_BATCH).unbatch().filter(lambda _, label: label >= 0)
    labelled_apart = next(iter(held_out), None) is None  # as in STL-10, whose unlabelled photos are another set
    return source.labelled("train", _BATCH) if labelled_apart else held_out.batch(_BATCH)


def knn_accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of photos whose label is the commonest among their nearest neighbours by cosine.

    A photo is not its own neighbour. Ties go to the smaller label.

    Args:
        features: (photos, channels).
        labels: int (photos,), from 0.
    """
    count = min(NEIGHBOURS, len(labels) - 1)
    _, nearest = nearest_neighbours(features, features, count, excluded=np.eye(len(labels), dtype=bool))
    votes = np.eye(labels.max() + 1, dtype=np.int32)[labels[nearest]].sum(axis=1)  # (photos, classes)
    return float(np.mean(votes.argmax(axis=1) == labels))


def linear_accuracy(features: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the share of photos whose class a linear classifier finds that was fitted to other photos.

    Cross-validation with the protocol of `evaluate --task linear`: each fifth of the photos is tested on a ridge
    regression of the other four, one of which first chooses the strength.

    Args:
        features: float32 (photos, channels).
        labels: int (photos,), from 0.

    Returns:
        None for fewer than three photos.
    """
    folds = min(FOLDS, len(labels))
    if folds < 3:
        return None
    fold = np.arange(len(labels)) % folds  # (photos,); photos in the order of their classes are spread evenly
    correct = 0
    for tested in range(folds):
        chooses, tests = fold == (tested + 1) % folds, fold == tested
        sums = RidgeSums(int(labels.max()) + 1)
        sums.add(features[~chooses & ~tests], labels[~chooses & ~tests])
        strength, _ = choose_strength(sums, features[chooses], labels[chooses])
        sums.add(features[chooses], labels[chooses])
        correct += sums.solve(strength).correct(features[tests], labels[tests])
    return correct / len(labels)
