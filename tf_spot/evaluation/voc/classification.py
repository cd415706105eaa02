"""VOC's classification: which of twenty classes are in a photo, by a network trained from the backbone."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.config import DataConfig, FinetuneConfig
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.data.voc import CLASSES, DIFFICULT, VOC
from tf_spot.evaluation.beside_random import beside_random, start_of
from tf_spot.evaluation.fit_classifier import Goal, fit_classifier
from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.evaluation.voc.bootstrap import standard_error
from tf_spot.evaluation.voc.metrics import class_precisions, mean_precision, multi_label_precisions, percent
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.models.backbones import Backbone
from tf_spot.models.classifier import Classifier
from tf_spot.progress import Progress

CROPS = 10
PHOTOS_AT_ONCE = 16


def voc_classification(
    backbone: Backbone,
    voc: VOC,
    recipe: FinetuneConfig,
    cache: ResultCache,
    *,
    image_size: int,
    config: DataConfig,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on trainval, from the backbone and from random weights in the same way, and score each once on test.

    Twenty sigmoids; photos with none but difficult objects of a class count neither in training nor in the score of it.

    Args:
        backbone: a spotter's.
        voc: the photos.
        recipe: of both; a held-out tenth of trainval chooses the epoch, by its loss.
        cache: keeps what is finished.
        image_size: pixels.
        config: how training images are varied, and the size of a crop.
        seed: of everything drawn.
        on_progress: called with (done, total, text).

    Returns:
        the metrics of a result file: `value` and `by_layer` are mean average precisions in percent, by VOC2007's eleven
        points and by area; `by_class`; `stderr` by resampling the test photos.

    Source: paper, Table 3, whose recipe is not public.
    Deviation: the script customary for this table trains by 80,000 steps of SGD and scores ten random crops; here Adam
    and early stopping, the crops of pre-training, and ten fixed crops (corners and centre, and their mirror images).
    """
    progress = WorkProgress(on_progress, rounds=2)
    train, test = voc.splits
    read = functools.cache(lambda split: voc.photos(split, image_size, config))

    def train_and_test(method: str) -> dict[str, Any]:
        photos = read(train)
        progress.begin(f"finetuning from {method}")
        classifier, spent = fit_classifier(
            start_of(method, backbone, seed),
            photos,
            CLASSES,
            recipe,
            goal=several_classes(),
            seed=seed,
            on_share=progress.share_done,
        )
        tested = read(test)
        counts = {"train_images": len(photos), "test_images": len(tested)}
        return spent | _scores(_logits(classifier, tested), tested.labels, seed) | counts

    common = {"task": "voc-classification", "data": voc.name, "metric": "mean average precision", "unit": "percent"}
    both = beside_random(cache, progress, train_and_test, lambda method, found: common | {"method": method} | found)
    return both | {"seed": seed, "recipe": asdict(recipe), "splits": list(voc.splits)}


def several_classes() -> Goal:
    """Return the goal for photos that hold any number of classes."""
    return Goal(sure_sigmoids, (), "val_loss", "min")


def sure_sigmoids(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy of each photo, (batch,), the mean over the classes that are not difficult in it.

    Args:
        labels: (batch, classes), 1, -1, or 0 = difficult.
        logits: (batch, classes).
    """
    labels = tf.cast(labels, logits.dtype)
    sure = tf.cast(labels != DIFFICULT, logits.dtype)
    losses = tf.nn.softplus(-labels * logits) * sure  # (batch, classes); softplus(-y x) = -log sigmoid(y x)
    return tf.math.divide_no_nan(tf.reduce_sum(losses, axis=1), tf.reduce_sum(sure, axis=1))


def ten_crops(photos: LabelledPhotos) -> Iterator[np.ndarray]:
    """Yield batches of ten images per photo, photo by photo: the corners and the centre, then their mirror images.

    Yields:
        float32 (10 * photos, image_size, image_size, 3) in [-1, 1].
    """
    size = (photos.image_size, photos.image_size)
    for start in range(0, len(photos), PHOTOS_AT_ONCE):
        batch = []
        for photo in photos.photos[start : start + PHOTOS_AT_ONCE]:
            height, width = photo.shape[:2]
            rows, columns = (max(1, round(photos.config.center_crop * side)) for side in (height, width))
            # The corners' top left pixels, then the centre's.
            down, right = height - rows, width - columns
            corners = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
            crops = [tf.image.resize(photo[top:, left:][:rows, :columns], size) for top, left in corners]
            batch += [*crops, *(crop[:, ::-1] for crop in crops)]
        yield np.stack(batch) / 127.5 - 1.0


def _logits(classifier: Classifier, photos: LabelledPhotos) -> np.ndarray:
    """Return the mean logits of every photo's ten crops, float32 (photos, classes)."""
    logits = np.concatenate([classifier.predict_on_batch(images) for images in ten_crops(photos)])
    of_crops = logits.reshape(len(photos), CROPS, len(CLASSES))  # (photos, crops, classes)
    means: np.ndarray = of_crops.mean(axis=1)
    return means


def _scores(logits: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Any]:
    """Return `value`, `stderr`, `by_layer` and `by_class`.

    Args:
        logits, labels: (photos, classes).
        seed: of the resampled photos.
    """
    metrics = class_precisions(multi_label_precisions(logits, labels))
    error = standard_error(
        lambda photos: mean_precision(multi_label_precisions(logits[photos], labels[photos])).points, len(labels), seed
    )
    return {"value": metrics["value"], "stderr": percent(error)} | metrics
