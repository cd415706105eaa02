"""Which of VOC's twenty classes are in a photo: a network trained from the backbone, scored on ten crops."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.data.voc import CLASSES, DIFFICULT, VOC
from tf_spot.errors import UserError
from tf_spot.evaluation.finetune import Goal, Recipe, Stretch, beside_random, fit_classifier, untrained
from tf_spot.evaluation.result_cache import Parts
from tf_spot.evaluation.voc.metrics import mean_precision, multi_label_precisions, percent, percents
from tf_spot.progress import Progress

CROPS = 10
PHOTOS_AT_ONCE = 16
RESAMPLES = 100  # of the test photos, for the standard error


def voc_classification(
    backbone: keras.Model,
    voc: VOC,
    recipe: Recipe,
    parts: Parts,
    *,
    image_size: int,
    config: DataConfig,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains on trainval, from the backbone and from random weights in the same way, and scores each once on test.

    Twenty sigmoids; photos with none but difficult objects of a class count neither in training nor in the score of it.

    Args:
        backbone: a spotter's.
        voc: the photos.
        recipe: of both; a held-out tenth of trainval chooses the epoch, by its loss.
        parts: keeps what is finished.
        image_size: pixels.
        config: how training images are varied, and the size of a crop.
        seed: of everything drawn.
        on_progress: told (done, total, text).

    Returns:
        the figures of a result file: `value` and `by_layer` are mean average precisions in percent, by VOC2007's eleven
        points and by area; `by_class`; `stderr` by resampling the test photos.

    Source: paper, Table 3, whose recipe is not public.
    Deviations from the script customary for this table: Adam and early stopping instead of 80,000 steps of SGD, the
    crops of pre-training, and ten fixed crops (corners and centre, and their mirror images) instead of ten random ones.
    """
    stretch = Stretch(on_progress, 2)
    train, test = voc.splits

    read = functools.cache(lambda split: voc.photos(split, image_size, config))

    def work(method: str) -> dict[str, Any]:
        photos, tell = read(train), stretch.begin(f"finetuning from {method}")
        start = backbone if method == "spot" else untrained(backbone, seed)
        classifier, spent = fit_classifier(start, photos, list(CLASSES), recipe, goal=several_classes(), seed=seed,
                                           tell=tell)  # fmt: skip
        tested = read(test)
        scores = np.concatenate([classifier.predict_on_batch(images) for images in ten_crops(tested)])
        scores = scores.reshape(len(tested), CROPS, len(CLASSES)).mean(axis=1)
        return spent | _precisions(scores, tested.labels, seed) | {
            "train_images": len(photos), "test_images": len(tested)}  # fmt: skip

    same = {"task": "voc-classification", "data": voc.name, "metric": "mean average precision", "unit": "percent"}
    both = beside_random(parts, stretch, work, lambda method, found: same | {"method": method} | found)
    return both | {"seed": seed, "recipe": asdict(recipe), "splits": list(voc.splits)}


def several_classes() -> Goal:
    """Every photo holds any number of classes."""
    return Goal(sure_sigmoids, (), "val_loss", "min")


def sure_sigmoids(labels: Any, logits: Any) -> tf.Tensor:
    """Cross-entropy of each photo, (batch,), the mean over the classes that are not difficult in it.

    Args:
        labels: (batch, classes), 1, -1, or 0 = difficult.
        logits: (batch, classes).
    """
    labels = tf.cast(labels, logits.dtype)
    sure = tf.cast(labels != DIFFICULT, logits.dtype)
    losses = tf.nn.softplus(-labels * logits) * sure
    return tf.math.divide_no_nan(tf.reduce_sum(losses, axis=1), tf.reduce_sum(sure, axis=1))


def ten_crops(photos: LabelledPhotos) -> Iterator[np.ndarray]:
    """Batches of ten images a photo, one photo after the other: the corners and the centre, then their mirror images.

    Returns:
        float32 (10 * photos, image_size, image_size, 3) in [-1, 1].
    """
    size = (photos.image_size, photos.image_size)
    for start in range(0, len(photos), PHOTOS_AT_ONCE):
        batch = []
        for photo in photos.photos[start : start + PHOTOS_AT_ONCE]:
            height, width = photo.shape[:2]
            rows, columns = (max(1, round(photos.config.center_crop * side)) for side in (height, width))
            down, right = height - rows, width - columns
            corners = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
            crops = [tf.image.resize(photo[top:, left:][:rows, :columns], size) for top, left in corners]
            batch += [*crops, *(crop[:, ::-1] for crop in crops)]
        yield np.stack(batch) / 127.5 - 1.0


def _precisions(scores: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    found = multi_label_precisions(scores, labels)
    mean, numbers = mean_precision(found), np.random.default_rng(seed)
    if np.isnan(mean.points):
        raise UserError("the test photos must hold an object of some class that is not difficult; received none")
    again = []
    for _ in range(RESAMPLES):
        drawn = numbers.integers(len(labels), size=len(labels))
        again.append(mean_precision(multi_label_precisions(scores[drawn], labels[drawn])).points)
    return {
        "value": percent(mean.points), "stderr": percent(float(np.nanstd(again, ddof=1))), "by_layer": percents(mean),
        "by_class": {name: percents(each) for name, each in zip(CLASSES, found, strict=True)},
    }  # fmt: skip
