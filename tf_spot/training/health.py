"""Is stage 2 learning, or has the game tipped over? Signals taken on photos held out of training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.features.nearest import nearest_neighbours

GAME_PHOTOS = 256  # at most; each holds dozens of mask cells
NEIGHBOURS = 20
_BATCH = 64  # photos at a time


class HealthSignals(keras.callbacks.Callback):
    """Adds health signals to the logs of an epoch, for the callbacks after it.

    Every epoch, on some of the photos: `held_out_decoded_accuracy` and `held_out_repaired_accuracy` (both at 1: the
    discriminator has won; one at 0: it says the same of all), `held_out_mask_auc`. Every `probe_every` epochs, on all:
    `feature_std` and `effective_rank` of the pooled conv5 (both fall when features collapse) and, with labels,
    `knn_accuracy`.

    Args:
        position: has `every(epochs)`.
        source: see `tf_spot.data`; its held-out training photos are used, never its test split.
        probe_every: epochs between two probes.
    """

    def __init__(self, position: Any, source: Any, probe_every: int) -> None:
        super().__init__()
        self.position, self.probe_every = position, probe_every
        self.held_out = source.held_out(_BATCH)  # opened once: every opening traces a graph
        self.labelled = knn_photos(source) if source.has_labels else None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        logs |= game_signals(self.model, self.held_out.take(GAME_PHOTOS // _BATCH))
        if self.position.every(self.probe_every):
            logs |= feature_signals(pooled_features(self.model, self.held_out)[0])
            if self.labelled is not None:
                logs["knn_accuracy"] = knn_accuracy(*pooled_features(self.model, self.labelled))


class HeldOutReconstruction(keras.callbacks.Callback):
    """Stage 1: adds `held_out_reconstruction_loss` to the logs of an epoch."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.held_out = source.held_out(_BATCH)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        errors = [tf.reduce_mean(tf.square(self.model(images) - images), axis=(1, 2, 3))
                  for images in self.held_out]  # fmt: skip
        logs["held_out_reconstruction_loss"] = float(np.mean(np.concatenate(errors)))


def game_signals(spotter: Any, held_out: Any) -> dict[str, float | None]:
    """Accuracy on both halves and AUC of the mask head, at inference, each batch damaged by the draw of its number."""
    real_right, corrupt_right, masks, kept = [], [], [], []
    for number, images in enumerate(held_out):
        corrupted = spotter.corrupt(images, tf.constant(number))
        about_real = spotter.discriminator(spotter.real(images, corrupted))
        about_corrupt = spotter.discriminator(corrupted.repaired)
        real_right.append(tf.argmax(about_real["realness_logits"], axis=1) == 1)
        corrupt_right.append(tf.argmax(about_corrupt["realness_logits"], axis=1) == 0)
        if "mask_logits" in about_corrupt:
            masks.append(tf.reshape(about_corrupt["mask_logits"], [-1]))
            kept.append(tf.reshape(corrupted.keep_mask, [-1]))
    signals: dict[str, float | None] = {
        "held_out_decoded_accuracy": float(np.mean(np.concatenate(real_right))),
        "held_out_repaired_accuracy": float(np.mean(np.concatenate(corrupt_right))),
    }
    if masks:
        signals["held_out_mask_auc"] = auc(np.concatenate(kept) == 1, np.concatenate(masks))
    return signals


def auc(positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Share of (positive, negative) pairs that the scores put in order, ties counting half; None without pairs."""
    from sklearn.metrics import roc_auc_score

    if positive.all() or not positive.any():
        return None
    return float(roc_auc_score(positive, scores))


def pooled_features(spotter: Any, photos: Any) -> tuple[np.ndarray, np.ndarray]:
    """conv5 averaged over the map, float32 (photos, channels), and the labels if `photos` gives any (else empty)."""
    features: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for batch in photos:
        images, *label = batch if isinstance(batch, tuple) else (batch,)
        features.append(tf.reduce_mean(spotter.backbone(images)["conv5"], axis=(1, 2)).numpy())
        labels.extend(np.asarray(part) for part in label)
    return np.concatenate(features), np.concatenate(labels) if labels else np.empty(0, np.int32)


def feature_signals(features: np.ndarray) -> dict[str, float]:
    """How much features vary over photos, and in how many directions.

    The effective rank is the exponential of the entropy of the normalised singular values of the centred features:
    k when k directions share the variation alike, near 1 when one has it all.

    Args:
        features: (photos, channels).

    Source: Roy & Vetterli, EUSIPCO 2007.
    """
    centred = features - features.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False)
    shares = values[values > 0] / max(values.sum(), np.finfo(np.float32).tiny)
    rank = float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0
    return {"feature_std": float(features.std(axis=0).mean()), "effective_rank": rank}


def knn_photos(source: Any) -> Any:
    """Labelled photos that are not trained on: those held out or, where they have no labels, the labelled split."""
    held_out = source.held_out_labelled(_BATCH).unbatch().filter(lambda _, label: label >= 0)
    labelled_apart = next(iter(held_out), None) is None
    return source.labelled("train", _BATCH) if labelled_apart else held_out.batch(_BATCH)


def knn_accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """Share of photos whose label is the commonest among their nearest neighbours by cosine, themselves left out.

    Ties go to the smaller label.

    Args:
        features: (photos, channels).
        labels: whole numbers from 0, (photos,).
    """
    count = min(NEIGHBOURS, len(labels) - 1)
    _, nearest = nearest_neighbours(features, features, count, excluded=np.eye(len(labels), dtype=bool))
    votes = np.eye(labels.max() + 1, dtype=np.int32)[labels[nearest]].sum(axis=1)
    return float(np.mean(votes.argmax(axis=1) == labels))
