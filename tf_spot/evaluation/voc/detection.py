"""Where VOC's objects are: Fast R-CNN from the backbone, scored by the devkit's average precision."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_spot.data.voc import CLASSES, VOC, Objects
from tf_spot.errors import UserError
from tf_spot.evaluation.finetune import Recipe, Stretch, Tell, beside_random, copied, fit_quietly, untrained
from tf_spot.evaluation.result_cache import Parts
from tf_spot.evaluation.voc.fast_rcnn import Detector, moved
from tf_spot.evaluation.voc.metrics import (
    FOUND,
    detection_precision,
    judge,
    mean_precision,
    overlaps,
    percent,
    percents,
)
from tf_spot.evaluation.voc.proposals import Proposals
from tf_spot.evaluation.voc.regions import TrainingRegions, joined, scaled, sides
from tf_spot.models.data_dependent_init import unit_variance
from tf_spot.ops.cpu_features import JIT_COMPILE
from tf_spot.progress import Progress
from tf_spot.storage.files import write_file, write_text

SCALES = (0.75, 1.0, 1.25)  # of training, in test scales
TEST_SCALE = 2  # in image sizes of pre-training
SMALLEST = 32  # pixels
SEARCHED = 160  # pixels of the shorter side at least, for proposals: in smaller photos the search misses many objects
SUPPRESSED = 0.3  # overlap from which the less sure of two boxes of a class goes. Source: Fast R-CNN
MOST = 100  # boxes a photo. Source: Fast R-CNN
LEAST = 1e-3  # a box that is less sure is left out
TRAINING_SHARE = 0.8  # of the time of a method, for the progress told
RESCALED_TO = 32  # photos
RESAMPLES = 100  # of the test photos, for the standard error


class Found(NamedTuple):
    """The boxes found in one photo, the surest of a class first."""

    boxes: np.ndarray  # float32 (found, 4) in pixels of the photo
    scores: np.ndarray  # float32 (found,)
    classes: np.ndarray  # int64 (found,), places in `CLASSES`


class Ready(NamedTuple):
    """The photos of a split and where an object may be in them."""

    names: list[str]
    proposals: list[np.ndarray]


def voc_detection(
    backbone: keras.Model,
    voc: VOC,
    recipe: Recipe,
    parts: Parts,
    *,
    image_size: int,
    units: int,
    proposals: Path,
    boxes: Path,
    scales: Sequence[int] | None = None,
    test_scale: int | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains Fast R-CNN on trainval, from the backbone and from random weights, and tests each once on test.

    Every method is trained for all of its epochs; a scale is drawn for each step.

    Args:
        backbone: a spotter's.
        voc: the photos.
        recipe: of both.
        parts: keeps what is finished: a method, or its training.
        image_size: pixels, of pre-training.
        units: of the detector's large layers.
        proposals: the folder that keeps selective search's boxes.
        boxes: a folder for the boxes found, see `save_boxes`, one folder a method.
        scales: pixels of the shorter side in training; by default 3/4, 1 and 5/4 of `test_scale`.
        test_scale: pixels of the shorter side in the test; by default twice `image_size`.
        seed: of everything drawn.
        on_progress: told (done, total, text).

    Returns:
        the figures of a result file: `value` and `by_layer` are mean average precisions in percent at an overlap of
        0.5, by VOC2007's eleven points and by area; `by_class`; `proposals`: how many a test photo has, and the
        percentage of the test objects that one of them finds; `stderr` by resampling the test photos.

    Raises:
        UserError: options that do not fit, OpenCV is missing, or photos or annotations are.

    Source: paper, Table 3, whose recipe is not public; Fast R-CNN for what is not said.
    Deviations from Fast R-CNN: Adam along half a cosine; fixed spreads of the box offsets; regions that overlap no
    object fill up the background where there are few others; boxes below a score of 0.001 are left out.
    """
    if recipe.patience != Recipe.patience:
        raise UserError("voc-detection trains for all of its epochs: leave out --patience")
    test_scale = test_scale or TEST_SCALE * image_size
    scales = list(scales or (round(share * test_scale) for share in SCALES))
    if min(*scales, test_scale) < SMALLEST:
        raise UserError(
            f"--scales and --test-scale must be {SMALLEST} pixels or more; received: {scales} and {test_scale}"
        )
    search, stretch = Proposals(proposals, max(test_scale, SEARCHED)), Stretch(on_progress, 2)

    @functools.cache
    def ready(split: str) -> Ready:
        names = voc.labels(split)[0]
        return Ready(names, search.find(voc, names, Stretch(on_progress, 1).begin(f"proposals of {split}")))

    def work(method: str) -> dict[str, Any]:
        learnt, tested = (ready(split) for split in voc.splits)
        tell = stretch.begin(f"detection from {method}")
        keras.utils.set_random_seed(seed)
        start = copied(backbone) if method == "spot" else untrained(backbone, seed)
        model = Detector(start, units=units, norms=recipe.norms, trained_layers=recipe.trained_layers)
        examples = TrainingRegions(voc, *learnt, scales, seed)
        if recipe.rescale:
            unit_variance(start, tf.constant(examples.batch(0, RESCALED_TO)[0]))
        model([part[:1] for part in examples.batch(0)[:3]])  # builds it
        weights = parts.path / f"{method}.weights.h5"
        spent = parts(
            f"{method}-trained",
            lambda: fit_detector(model, examples, recipe, weights, lambda share: tell(TRAINING_SHARE * share)),
        )
        model.load_weights(weights)
        found = []
        for number, (name, proposed) in enumerate(zip(*tested, strict=True), start=1):
            found.append(detect(model, voc.photo(name), proposed, test_scale))
            tell(TRAINING_SHARE + (1 - TRAINING_SHARE) * number / len(tested.names))
        save_boxes(boxes / method, voc.splits[1], tested.names, found)
        truth = [voc.objects(name) for name in tested.names]
        figures = score(found, truth, seed) | {"proposals": reach(tested.proposals, truth)}
        return spent | figures | {"train_images": len(learnt.names), "test_images": len(tested.names)}

    same = {"task": "voc-detection", "data": voc.name, "metric": "mean average precision", "unit": "percent"}
    both = beside_random(parts, stretch, work, lambda method, found: same | {"method": method} | found)
    return both | {
        "seed": seed, "recipe": asdict(recipe), "splits": list(voc.splits), "scales": scales, "test_scale": test_scale,
        "units": units,
    }  # fmt: skip


def fit_detector(
    model: Detector, examples: TrainingRegions, recipe: Recipe, weights: Path, tell: Tell
) -> dict[str, Any]:
    """Trains a detector and writes its weights; returns the epochs and the mean loss of the last one."""
    rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.epochs * examples.steps)
    model.compile(keras.optimizers.Adam(rate), jit_compile=JIT_COMPILE)
    last = keras.callbacks.History()
    done = fit_quietly(
        model, examples.stream(), None, epochs=recipe.epochs, steps=examples.steps, callbacks=[last], tell=tell
    )
    write_file(weights, model.save_weights)
    return {"epochs": done, "train_loss": round(float(last.history["loss"][-1]), 4)}


def detect(model: Detector, photo: np.ndarray, proposals: np.ndarray, scale: int) -> Found:
    """The objects of a photo, uint8 (height, width, 3); `proposals` (boxes, 4) in its pixels."""
    small = scaled(photo, scale)
    images = joined([small.pixels])
    boxes, scores, classes, count = _found(model, images, proposals * small.factor / sides(images))
    kept = slice(int(count[0]))
    pixels = boxes[0, kept].numpy() * sides(images) / small.factor
    return Found(
        np.minimum(pixels, np.array([*photo.shape[:2]] * 2, np.float32)),
        scores[0, kept].numpy(),
        classes[0, kept].numpy().astype(np.int64),
    )


def save_boxes(folder: Path, split: str, names: Sequence[str], found: Sequence[Found]) -> None:
    """One file a class, as the devkit reads it: photo, score, left, top, right, bottom.

    Its pixels count from 1 and the last one is in, see `VOC.objects`. `comp4` is its name for detectors that have
    learned from other photos too.
    """
    for number, label in enumerate(CLASSES):
        lines = [
            f"{name} {sure:.6f} {left + 1:.1f} {top + 1:.1f} {right:.1f} {bottom:.1f}\n"
            for name, photo in zip(names, found, strict=True)
            for (top, left, bottom, right), sure, kind in zip(*photo, strict=True)
            if kind == number
        ]
        write_text(folder / f"comp4_det_{split}_{label}.txt", "".join(lines))


@tf.function(reduce_retracing=True)
def _found(model: Detector, images: tf.Tensor, boxes: tf.Tensor) -> Any:
    logits, offsets = model((images, boxes, tf.zeros(tf.shape(boxes)[:1], tf.int32)), training=False)
    return tf.image.combined_non_max_suppression(
        moved(boxes, offsets)[None, :, 1:],
        tf.nn.softmax(logits)[None, :, 1:],
        max_output_size_per_class=MOST,
        max_total_size=MOST,
        iou_threshold=SUPPRESSED,
        score_threshold=LEAST,
        clip_boxes=False,
    )


def score(found: Sequence[Found], truth: Sequence[Objects], seed: int) -> dict[str, Any]:
    """The figures of what was found in photos, in the order of `truth`."""
    classes = [_Judged.of(number, found, truth) for number in range(len(CLASSES))]
    once = np.ones(len(truth), np.int64)
    by_class = [judged.precision(once) for judged in classes]
    mean, numbers = mean_precision(by_class), np.random.default_rng(seed)
    if np.isnan(mean.points):
        raise UserError("the test photos must hold an object of some class that is not difficult; received none")
    again = []
    for _ in range(RESAMPLES):
        times = np.bincount(numbers.integers(len(truth), size=len(truth)), minlength=len(truth))
        again.append(mean_precision([judged.precision(times) for judged in classes]).points)
    return {
        "value": percent(mean.points), "stderr": percent(float(np.nanstd(again, ddof=1))), "by_layer": percents(mean),
        "by_class": {name: percents(each) for name, each in zip(CLASSES, by_class, strict=True)},
    }  # fmt: skip


class _Judged(NamedTuple):
    """The boxes of one class in all photos."""

    photos: np.ndarray  # (found,) the photo that a box is in
    scores: np.ndarray  # (found,)
    verdicts: np.ndarray  # (found,)
    positives: np.ndarray  # (photos,) objects that are not difficult

    @classmethod
    def of(cls, number: int, found: Sequence[Found], truth: Sequence[Objects]) -> _Judged:
        counts, scores, verdicts, positives = [], [], [], []
        for boxes, objects in zip(found, truth, strict=True):
            ours, theirs = boxes.classes == number, objects.classes == number
            order = np.argsort(-boxes.scores[ours], kind="stable")
            counts.append(len(order))
            scores.append(boxes.scores[ours][order])
            verdicts.append(judge(boxes.boxes[ours][order], objects.boxes[theirs], objects.difficult[theirs]))
            positives.append(np.count_nonzero(~objects.difficult[theirs]))
        photos = np.repeat(np.arange(len(truth)), counts)
        return cls(photos, np.concatenate(scores), np.concatenate(verdicts), np.array(positives))

    def precision(self, times: np.ndarray) -> Any:
        """With every photo so many times."""
        repeats = times[self.photos]
        return detection_precision(
            np.repeat(self.scores, repeats), np.repeat(self.verdicts, repeats), int(self.positives @ times)
        )


def reach(proposals: Sequence[np.ndarray], truth: Sequence[Objects]) -> dict[str, float]:
    """What bounds the score: boxes a photo, and the percentage of the objects that one of them finds."""
    best = [
        overlaps(objects.boxes[~objects.difficult], boxes).max(axis=1)
        for boxes, objects in zip(proposals, truth, strict=True)
    ]
    found = np.concatenate(best) >= FOUND
    return {
        "per_photo": round(float(np.mean([len(boxes) for boxes in proposals])), 1),
        "recall": round(100 * float(found.mean()), 2),
    }
