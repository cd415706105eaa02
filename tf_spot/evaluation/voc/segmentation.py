"""VOC's segmentation: the class of every pixel, by a fully convolutional network on the backbone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from tf_spot.config import FinetuneConfig
from tf_spot.data.voc import CLASSES, VOC
from tf_spot.evaluation.beside_random import beside_random, start_of
from tf_spot.evaluation.fit_classifier import OnShare, cosine, fit_silently
from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.evaluation.voc.bootstrap import standard_error
from tf_spot.evaluation.voc.masks import save_mask
from tf_spot.evaluation.voc.metrics import confusion, unions
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.models.backbones import Backbone
from tf_spot.ops.hardware import form
from tf_spot.progress import Progress

BORDER = 255  # pixels of no class
NAMES = ("background", *CLASSES)
FEWEST_STEPS = 8  # per epoch, by smaller batches if need be: a devkit has few masks


class Segmenter(keras.Model):
    """A 1x1 convolution on conv5 to 21 classes, brought back to the size of the images bilinearly (FCN-32s).

    The stride is the backbone's, 32 only at AlexNet's own: 8 for the preset `small`.

    Args:
        backbone: used, not copied.
        norms: batch norm while training, see `Classifier`.

    Call arguments:
        images: (batch, height, width, 3) in [-1, 1].
        training: see `norms`.

    Returns:
        logits (batch, height, width, 21).

    Source: Long, Shelhamer and Darrell, CVPR 2015.
    Deviation: without AlexNet's two large layers between, which pre-training does not give.
    """

    def __init__(self, backbone: Backbone, norms: str) -> None:
        super().__init__(name="segmenter")
        self.backbone, self.norms = backbone, norms
        self.score = keras.layers.Conv2D(len(NAMES), 1, kernel_initializer="zeros", name="score")

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        maps = self.backbone(images, training=training and self.norms == "adapt")["conv5"]  # (batch, h, w, channels)
        return tf.image.resize(self.score(maps), tf.shape(images)[1:3])


def voc_segmentation(
    backbone: Backbone,
    voc: VOC,
    recipe: FinetuneConfig,
    cache: ResultCache,
    *,
    image_size: int,
    masks: Path,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train on the segmented photos, from the backbone and from random weights, and score each once on the test set.

    Photos are shrunk to squares of twice `image_size`; the classes found are brought back to a photo's own size.

    Args:
        backbone: a spotter's.
        voc: the photos.
        recipe: of both; a held-out tenth chooses the epoch, by its loss. Every layer is trained and none rescaled.
        cache: keeps what is finished.
        image_size: pixels, of pre-training.
        masks: a folder for the masks found, see `save_mask`, one folder per method.
        seed: of everything drawn.
        on_progress: called with (done, total, text).

    Returns:
        the metrics of a result file: `value` is the mean intersection over union in percent, over the classes that are
        in the truth or were found; `by_class`; `stderr` by resampling the test photos.

    Source: paper, Table 3, whose recipe is not public.
    """
    train, test = voc.segmentation_splits()
    progress, side, names = WorkProgress(on_progress, rounds=2), 2 * image_size, voc.segmented(train)
    squares = functools.cache(lambda: _squares(voc, names, side))

    def train_and_test(method: str) -> dict[str, Any]:
        progress.begin(f"segmentation from {method}")
        start = start_of(method, backbone, seed)
        model, spent = _fit(start, *squares(), recipe, seed, progress.share_done)
        tested, counts = voc.segmented(test), []
        for name in tested:
            photo, truth = voc.segmentation(name)
            found = _segmented(model, photo, side)
            counts.append(confusion(truth, found, len(NAMES), BORDER))
            save_mask(masks / method / f"{name}.png", found)
        return spent | _scores(np.stack(counts), seed) | {"train_images": len(names), "test_images": len(tested)}

    common = {
        "task": "voc-segmentation", "data": voc.name, "metric": "mean intersection over union", "unit": "percent",
    }  # fmt: skip
    both = beside_random(cache, progress, train_and_test, lambda method, found: common | {"method": method} | found)
    return both | {"seed": seed, "recipe": asdict(recipe), "splits": ["+".join(train), test[0]]}


def _scores(counts: np.ndarray, seed: int) -> dict[str, Any]:
    """Return `value`, `by_layer`, `by_class` and `stderr`.

    Args:
        counts: of the pixels of every photo, (photos, classes, classes), see `confusion`.
        seed: of the resampled photos.
    """
    shares = unions(counts.sum(axis=0))  # (classes,)
    percent = [None if np.isnan(share) else round(100 * float(share), 2) for share in shares]
    value = round(100 * float(np.nanmean(shares)), 2)
    error = standard_error(
        lambda photos: float(100 * np.nanmean(unions(counts[photos].sum(axis=0)))), len(counts), seed
    )
    return {
        "value": value,
        "by_layer": {"finetuned": value},
        "by_class": dict(zip(NAMES, percent, strict=True)),
        "stderr": round(error, 2),
    }


def _squares(voc: VOC, names: Sequence[str], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return photos uint8 (n, 2 side, 2 side, 3) and classes uint8 (n, 2 side, 2 side).

    They leave room for crops of one to two sides.
    """
    photos, classes = [], []
    for name in names:
        photo, truth = (Image.fromarray(pixels) for pixels in voc.segmentation(name))
        photos.append(np.asarray(photo.resize((2 * side, 2 * side), Image.Resampling.BILINEAR)))
        classes.append(np.asarray(truth.resize((2 * side, 2 * side), Image.Resampling.NEAREST)))
    return np.stack(photos), np.stack(classes)


def _fit(
    start: Backbone, photos: np.ndarray, classes: np.ndarray, recipe: FinetuneConfig, seed: int, on_share: OnShare
) -> tuple[Segmenter, dict[str, Any]]:
    """Train a segmenter on `_squares`; return it at its best epoch, and what the training took."""
    order = np.random.default_rng(seed).permutation(len(photos))
    held_out = np.arange(len(photos)) % recipe.held_out_every == 0
    learned, tested = order[~held_out], order[held_out]
    batch_size = min(recipe.batch_size, max(1, len(learned) // FEWEST_STEPS))
    steps, side = len(learned) // batch_size, photos.shape[1] // 2
    keras.utils.set_random_seed(seed)
    model = Segmenter(start, recipe.norms)
    model.compile(keras.optimizers.Adam(cosine(recipe, steps)), pixel_loss, jit_compile=form().jit_compile)
    best = keras.callbacks.EarlyStopping("val_loss", mode="min", patience=recipe.patience, restore_best_weights=True)

    def varied(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        index = tf.gather(learned, position % len(learned))
        draws = tf.stack([tf.constant(seed, tf.int64), position])
        return _crop(tf.gather(photos, index), tf.gather(classes, index), side, draws)

    stream = tf.data.Dataset.counter().map(varied, num_parallel_calls=4).batch(batch_size, drop_remainder=True)
    whole = tf.image.resize(photos[tested], (side, side)) / 127.5 - 1.0, classes[tested][:, ::2, ::2]
    epochs = fit_silently(
        model,
        stream.prefetch(2),
        tf.data.Dataset.from_tensor_slices(whole).batch(batch_size),
        epochs=recipe.epochs,
        steps=steps,
        callbacks=[best],
        on_share=on_share,
    )
    return model, {"epochs": epochs, "best_epoch": best.best_epoch + 1, "held_out_images": len(tested)}


def _crop(photo: tf.Tensor, classes: tf.Tensor, side: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the same square of a photo and of its classes, between a half and all of the side, perhaps mirrored.

    Args:
        photo, classes: one of `_squares`.
        side: pixels, of what is returned: float32 (side, side, 3) in [-1, 1] and (side, side).
        seed: int64 (2,).
    """
    draws = tf.random.stateless_uniform((4,), tf.cast(seed, tf.int64))
    # A square of one to two sides, anywhere in the 2 side x 2 side pixels.
    size = side + tf.cast(draws[0] * tf.cast(side + 1, tf.float32), tf.int32)
    top, left = (tf.cast(draw * tf.cast(2 * side - size + 1, tf.float32), tf.int32) for draw in (draws[1], draws[2]))
    both = tf.concat([photo, classes[..., None]], axis=-1)[top : top + size, left : left + size]
    both = tf.where(draws[3] < 0.5, both[:, ::-1], both)
    image = tf.image.resize(both[..., :3], (side, side)) / 127.5 - 1.0
    return image, tf.image.resize(both[..., 3:], (side, side), "nearest")[..., 0]


def pixel_loss(classes: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy, the mean over the pixels that have a class: a scalar.

    Args:
        classes: whole numbers (batch, height, width), 255 where there is no class.
        logits: (batch, height, width, 21).
    """
    classes = tf.cast(classes, tf.int32)
    sure = classes != BORDER
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(sure, classes, 0), logits)
    weights = tf.cast(sure, losses.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))


def _segmented(model: Segmenter, photo: np.ndarray, side: int) -> np.ndarray:
    """Return the class of every pixel of a photo, uint8 (height, width)."""
    image = tf.image.resize(photo[None], (side, side)) / 127.5 - 1.0  # (1, side, side, 3)
    logits = tf.image.resize(model.predict_on_batch(image), photo.shape[:2])  # (1, height, width, 21)
    found: np.ndarray = tf.argmax(logits[0], axis=-1).numpy().astype(np.uint8)
    return found
