"""The class of every pixel: a fully convolutional network on the backbone, scored by mean intersection over union."""

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

from tf_spot.data.voc import CLASSES, VOC
from tf_spot.errors import UserError
from tf_spot.evaluation.finetune import Recipe, Stretch, Tell, beside_random, copied, fit_quietly, untrained
from tf_spot.evaluation.result_cache import Parts
from tf_spot.evaluation.voc.metrics import confusion, unions
from tf_spot.ops.cpu_features import JIT_COMPILE
from tf_spot.progress import Progress

BORDER = 255  # pixels of no class
NAMES = ("background", *CLASSES)
HELD_OUT_EVERY = 10
FEWEST_STEPS = 8  # an epoch, by smaller batches if need be: a devkit has few masks
RESAMPLES = 100  # of the test photos, for the standard error


class Segmenter(keras.Model):
    """A 1x1 convolution on conv5 to 21 classes, brought back to the size of the images bilinearly (FCN-32s).

    The stride is the backbone's, 32 only at AlexNet's own: 8 for the preset `small`.

    Source: Long, Shelhamer and Darrell, CVPR 2015.
    Deviation: without AlexNet's two large layers between, which pre-training does not give.
    """

    def __init__(self, backbone: Any, norms: str) -> None:
        super().__init__(name="segmenter")
        self.backbone, self.norms = backbone, norms
        self.score = keras.layers.Conv2D(len(NAMES), 1, kernel_initializer="zeros", name="score")

    def call(self, images: Any, training: bool = False) -> tf.Tensor:
        """Images (batch, height, width, 3) in [-1, 1] to logits (batch, height, width, 21)."""
        maps = self.backbone(images, training=training and self.norms == "adapt")["conv5"]
        return tf.image.resize(self.score(maps), tf.shape(images)[1:3])


def voc_segmentation(
    backbone: keras.Model,
    voc: VOC,
    recipe: Recipe,
    parts: Parts,
    *,
    image_size: int,
    masks: Path,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains on the segmented photos, from the backbone and from random weights, and scores each once on the test set.

    Photos are shrunk to squares of twice `image_size`; the classes found are brought back to a photo's own size.

    Args:
        backbone: a spotter's.
        voc: the photos.
        recipe: of both; a held-out tenth chooses the epoch, by its loss. `trained_layers` must be 5.
        parts: keeps what is finished.
        image_size: pixels, of pre-training.
        masks: a folder for the masks found, as paletted PNGs in the colours of the devkit, one folder a method.
        seed: of everything drawn.
        on_progress: told (done, total, text).

    Returns:
        the figures of a result file: `value` is the mean intersection over union in percent, over the classes that are
        in the truth or in what was found; `by_class`; `stderr` by resampling the test photos.

    Source: paper, Table 3, whose recipe is not public.
    """
    if recipe.trained_layers != 5 or recipe.rescale:
        raise UserError("voc-segmentation trains every layer and does not rescale: leave out these options")
    train, test = voc.segmentation_splits()
    stretch, side, names = Stretch(on_progress, 2), 2 * image_size, voc.segmented(train)
    squares = functools.cache(lambda: _squares(voc, names, side))

    def work(method: str) -> dict[str, Any]:
        tell = stretch.begin(f"segmentation from {method}")
        start = copied(backbone) if method == "spot" else untrained(backbone, seed)
        model, spent = _fit(start, *squares(), recipe, seed, tell)
        tested, counts = voc.segmented(test), []
        for name in tested:
            photo, truth = voc.segmentation(name)
            found = _found(model, photo, side)
            counts.append(confusion(truth, found, len(NAMES), BORDER))
            save_mask(masks / method / f"{name}.png", found)
        return spent | _shares(np.stack(counts), seed) | {"train_images": len(names), "test_images": len(tested)}

    same = {"task": "voc-segmentation", "data": voc.name, "metric": "mean intersection over union", "unit": "percent"}
    both = beside_random(parts, stretch, work, lambda method, found: same | {"method": method} | found)
    return both | {"seed": seed, "recipe": asdict(recipe), "splits": ["+".join(train), test[0]]}


def _shares(counts: np.ndarray, seed: int) -> dict[str, Any]:
    """Of the pixels counted by photo, (photos, classes, classes)."""
    shares, numbers = unions(counts.sum(axis=0)), np.random.default_rng(seed)
    drawn = (numbers.integers(len(counts), size=len(counts)) for _ in range(RESAMPLES))
    again = [100 * np.nanmean(unions(counts[some].sum(axis=0))) for some in drawn]
    percent = [None if np.isnan(share) else round(100 * float(share), 2) for share in shares]
    value = round(100 * float(np.nanmean(shares)), 2)
    return {
        "value": value,
        "by_layer": {"finetuned": value},
        "by_class": dict(zip(NAMES, percent, strict=True)),
        "stderr": round(float(np.std(again, ddof=1)), 2),
    }


def _squares(voc: VOC, names: Sequence[str], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Photos uint8 (n, 2 side, 2 side, 3) and classes uint8 (n, 2 side, 2 side): room for crops of one to two sides."""
    photos, classes = [], []
    for name in names:
        photo, truth = (Image.fromarray(part) for part in voc.segmentation(name))
        photos.append(np.asarray(photo.resize((2 * side, 2 * side), Image.Resampling.BILINEAR)))
        classes.append(np.asarray(truth.resize((2 * side, 2 * side), Image.Resampling.NEAREST)))
    return np.stack(photos), np.stack(classes)


def _fit(
    start: Any, photos: np.ndarray, classes: np.ndarray, recipe: Recipe, seed: int, tell: Tell
) -> tuple[Segmenter, dict[str, Any]]:
    order = np.random.default_rng(seed).permutation(len(photos))
    held_out = np.arange(len(photos)) % HELD_OUT_EVERY == 0
    learnt, tested = order[~held_out], order[held_out]
    batch_size = min(recipe.batch_size, max(1, len(learnt) // FEWEST_STEPS))
    steps, side = len(learnt) // batch_size, photos.shape[1] // 2
    keras.utils.set_random_seed(seed)
    model = Segmenter(start, recipe.norms)
    rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.epochs * steps)
    model.compile(keras.optimizers.Adam(rate), pixel_loss, jit_compile=JIT_COMPILE)
    best = keras.callbacks.EarlyStopping("val_loss", mode="min", patience=recipe.patience, restore_best_weights=True)

    def varied(position: Any) -> tuple[tf.Tensor, tf.Tensor]:
        place = tf.gather(learnt, position % len(learnt))
        return _crop(
            tf.gather(photos, place), tf.gather(classes, place), side, tf.stack([tf.constant(seed, tf.int64), position])
        )

    stream = tf.data.Dataset.counter().map(varied, num_parallel_calls=4).batch(batch_size, drop_remainder=True)
    whole = tf.image.resize(photos[tested], (side, side)) / 127.5 - 1.0, classes[tested][:, ::2, ::2]
    done = fit_quietly(
        model,
        stream.prefetch(2),
        tf.data.Dataset.from_tensor_slices(whole).batch(batch_size),
        epochs=recipe.epochs,
        steps=steps,
        callbacks=[best],
        tell=tell,
    )
    return model, {"epochs": done, "best_epoch": best.best_epoch + 1, "held_out_images": len(tested)}


def _crop(photo: Any, classes: Any, side: int, seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """The same square of a photo and its classes, between a half and all of the side, perhaps mirrored."""
    draws = tf.random.stateless_uniform((4,), tf.cast(seed, tf.int64))
    size = side + tf.cast(draws[0] * tf.cast(side + 1, tf.float32), tf.int32)
    top, left = (tf.cast(draw * tf.cast(2 * side - size + 1, tf.float32), tf.int32) for draw in (draws[1], draws[2]))
    both = tf.concat([photo, classes[..., None]], axis=-1)[top : top + size, left : left + size]
    both = tf.where(draws[3] < 0.5, both[:, ::-1], both)
    image = tf.image.resize(both[..., :3], (side, side)) / 127.5 - 1.0
    return image, tf.image.resize(both[..., 3:], (side, side), "nearest")[..., 0]


def pixel_loss(classes: Any, logits: Any) -> tf.Tensor:
    """Cross-entropy, the mean over the pixels that have a class: a scalar.

    Args:
        classes: whole numbers (batch, height, width), 255 where there is no class.
        logits: (batch, height, width, 21).
    """
    classes = tf.cast(classes, tf.int32)
    sure = classes != BORDER
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(sure, classes, 0), logits)
    weights = tf.cast(sure, losses.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), tf.reduce_sum(weights))


def _found(model: Segmenter, photo: np.ndarray, side: int) -> np.ndarray:
    """uint8 (height, width): the class of every pixel of a photo."""
    image = tf.image.resize(photo[None], (side, side)) / 127.5 - 1.0
    logits = tf.image.resize(model.predict_on_batch(image), photo.shape[:2])
    found: np.ndarray = tf.argmax(logits[0], axis=-1).numpy().astype(np.uint8)
    return found


def save_mask(path: Path, classes: np.ndarray) -> None:
    """Classes, uint8 (height, width), as a paletted PNG: the value of a pixel is its class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(classes)
    image.putpalette(palette())  # turns grey into paletted
    image.save(path)


def palette() -> list[int]:
    """The devkit's 256 colours: the three lowest bits of a class are the highest of red, green and blue, and so on."""
    colours = []
    for number in range(256):
        rgb = [0, 0, 0]
        for place in range(8):
            for channel in range(3):
                rgb[channel] |= (number >> (3 * place + channel) & 1) << (7 - place)
        colours += rgb
    return colours
