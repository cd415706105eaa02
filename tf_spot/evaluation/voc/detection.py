"""VOC's detection: where objects are, by Fast R-CNN on the backbone, scored by the devkit's average precision."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_spot.config import FinetuneConfig
from tf_spot.data.voc import VOC
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import beside_random, start_of
from tf_spot.evaluation.fit_classifier import OnShare, cosine, fit_silently
from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.evaluation.voc.detection_score import Detections, proposal_recall, save_boxes, score_detections
from tf_spot.evaluation.voc.fast_rcnn import Detector, moved
from tf_spot.evaluation.voc.proposals import Proposals
from tf_spot.evaluation.voc.regions import TrainingRegions, joined, scaled, sides
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.models.backbones import Backbone
from tf_spot.models.data_dependent_init import unit_variance
from tf_spot.ops.hardware import form
from tf_spot.progress import Progress
from tf_spot.storage.files import write_file

SCALES = (0.75, 1.0, 1.25)  # of training, in test scales
TEST_SCALE = 2  # in image sizes of pre-training
SMALLEST = 32  # pixels
SEARCHED = 160  # pixels of the shorter side at least, for proposals: in smaller photos the search misses many objects
SUPPRESSED = 0.3  # overlap from which the lower score of two boxes of a class is dropped. Source: Fast R-CNN
MOST = 100  # boxes per photo. Source: Fast R-CNN
LEAST = 1e-3  # score below which a box is left out
TRAINING_SHARE = 0.8  # of the time of a method, for the progress reported
RESCALED_TO = 32  # photos


class Scales(NamedTuple):
    """Shorter sides of the photos, in pixels."""

    train: list[int]  # one is drawn for every step
    test: int


class SearchedPhotos(NamedTuple):
    """The photos of a split and where an object may be in them."""

    names: list[str]
    proposals: list[np.ndarray]  # float32 (boxes, 4) each


def voc_detection(
    backbone: Backbone,
    voc: VOC,
    recipe: FinetuneConfig,
    cache: ResultCache,
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
    """Train Fast R-CNN on trainval, from the backbone and from random weights, and test each once on test.

    Every method is trained for all of its epochs; a scale is drawn for each step.

    Args:
        backbone: a spotter's.
        voc: the photos.
        recipe: of both; its patience and batch size play no part.
        cache: keeps what is finished: a method, or its training.
        image_size: pixels, of pre-training.
        units: of the detector's large layers.
        proposals: the folder that keeps selective search's boxes.
        boxes: a folder for the boxes found, see `save_boxes`, one folder per method.
        scales: pixels of the shorter side in training; by default 3/4, 1 and 5/4 of `test_scale`.
        test_scale: pixels of the shorter side in the test; by default twice `image_size`.
        seed: of everything drawn.
        on_progress: called with (done, total, text).

    Returns:
        the metrics of a result file: `value` and `by_layer` are mean average precisions in percent at an overlap of
        0.5, by VOC2007's eleven points and by area; `by_class`; `proposals`: how many a test photo has, and the
        percentage of the test objects that one of them finds; `stderr` by resampling the test photos.

    Raises:
        UserError: options that do not fit, OpenCV is missing, or photos or annotations are.

    Source: paper, Table 3, whose recipe is not public; Fast R-CNN where nothing is known.
    Deviation: from Fast R-CNN: Adam along half a cosine; fixed spreads of the box offsets; regions that overlap no
    object fill up the background where there are few others; boxes below a score of 0.001 are left out.
    """
    sizes = _scales(scales, test_scale, image_size)
    search, progress = Proposals(proposals, max(sizes.test, SEARCHED)), WorkProgress(on_progress, rounds=2)

    @functools.cache
    def searched(split: str) -> SearchedPhotos:
        names = voc.labels(split)[0]
        searching = WorkProgress(on_progress)
        searching.begin(f"proposals of {split}")
        return SearchedPhotos(names, search.find(voc, names, searching.share_done))

    def train_and_test(method: str) -> dict[str, Any]:
        learned, tested = (searched(split) for split in voc.splits)
        progress.begin(f"detection from {method}")
        keras.utils.set_random_seed(seed)
        start = start_of(method, backbone, seed)
        model = Detector(start, units=units, norms=recipe.norms, trained_layers=recipe.trained_layers)
        regions = TrainingRegions(voc, *learned, sizes.train, seed)
        spent = _trained(model, regions, recipe, cache, method, _scaled(progress.share_done, 0.0, TRAINING_SHARE))
        testing = _scaled(progress.share_done, TRAINING_SHARE, 1.0)
        detections = _tested(model, voc, tested, sizes.test, testing)
        save_boxes(boxes / method, voc.splits[1], tested.names, detections)
        truth = [voc.objects(name) for name in tested.names]
        scores = score_detections(detections, truth, seed) | {"proposals": proposal_recall(tested.proposals, truth)}
        return spent | scores | {"train_images": len(learned.names), "test_images": len(tested.names)}

    common = {"task": "voc-detection", "data": voc.name, "metric": "mean average precision", "unit": "percent"}
    both = beside_random(cache, progress, train_and_test, lambda method, found: common | {"method": method} | found)
    return both | {
        "seed": seed, "recipe": asdict(recipe), "splits": list(voc.splits), "scales": sizes.train,
        "test_scale": sizes.test, "units": units,
    }  # fmt: skip


def _scales(scales: Sequence[int] | None, test_scale: int | None, image_size: int) -> Scales:
    """Return the scales that are given, or their defaults."""
    test = test_scale or TEST_SCALE * image_size
    train = list(scales or (round(share * test) for share in SCALES))
    if min(*train, test) < SMALLEST:
        raise UserError(f"--scales and --test-scale must be {SMALLEST} pixels or more; received: {train} and {test}")
    return Scales(train, test)


def _scaled(on_share: OnShare, first: float, last: float) -> OnShare:
    """Return a callback whose shares from 0 to 1 are those from `first` to `last` of another one."""
    return lambda share: on_share(first + (last - first) * share)


def _trained(
    model: Detector,
    regions: TrainingRegions,
    recipe: FinetuneConfig,
    cache: ResultCache,
    method: str,
    on_share: OnShare,
) -> dict[str, Any]:
    """Train a detector, or load the weights of a finished training; return what `fit_detector` does."""
    if recipe.rescale:
        unit_variance(model.backbone, tf.constant(regions.batch(0, RESCALED_TO)[0]))
    model([part[:1] for part in regions.batch(0)[:3]])  # builds it, on one image with one region
    weights = cache.path / f"{method}.weights.h5"
    spent: dict[str, Any] = cache(f"{method}-trained", lambda: fit_detector(model, regions, recipe, weights, on_share))
    model.load_weights(weights)
    return spent


def fit_detector(
    model: Detector, regions: TrainingRegions, recipe: FinetuneConfig, weights: Path, on_share: OnShare
) -> dict[str, Any]:
    """Train a detector and write its weights; return the epochs and the mean loss of the last one."""
    rate = cosine(recipe, regions.steps)
    model.compile(keras.optimizers.Adam(rate), jit_compile=form().jit_compile)
    history = keras.callbacks.History()
    epochs = fit_silently(
        model,
        regions.stream(),
        None,
        epochs=recipe.epochs,
        steps=regions.steps,
        callbacks=[history],
        on_share=on_share,
    )
    write_file(weights, model.save_weights)
    return {"epochs": epochs, "train_loss": round(float(history.history["loss"][-1]), 4)}


def _tested(model: Detector, voc: VOC, photos: SearchedPhotos, scale: int, on_share: OnShare) -> list[Detections]:
    detections = []
    for name, proposed in zip(*photos, strict=True):
        detections.append(detect(model, voc.photo(name), proposed, scale))
        on_share(len(detections) / len(photos.names))
    return detections


def detect(model: keras.Model, photo: np.ndarray, proposals: np.ndarray, scale: int) -> Detections:
    """Find the objects of a photo.

    Args:
        model: a `Detector`.
        photo: uint8 (height, width, 3).
        proposals: (boxes, 4), in pixels of the photo.
        scale: pixels that its shorter side is brought to.
    """
    small = scaled(photo, scale)
    images = joined([small.pixels])  # (1, height, width, 3)
    boxes, scores, classes, count = _suppressed(model, images, proposals * small.factor / sides(images))
    kept = slice(int(count[0]))
    pixels = boxes[0, kept].numpy() * sides(images) / small.factor  # (boxes, 4), of the photo
    return Detections(
        np.minimum(pixels, np.array([*photo.shape[:2]] * 2, np.float32)),
        scores[0, kept].numpy(),
        classes[0, kept].numpy().astype(np.int64),
    )


@tf.function(reduce_retracing=True)
def _suppressed(model: keras.Model, images: tf.Tensor, boxes: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Return boxes (1, n, 4), scores (1, n), classes (1, n) and their number (1,), without overlapping ones."""
    logits, offsets = model((images, boxes, tf.zeros(tf.shape(boxes)[:1], tf.int32)), training=False)
    suppressed: tuple[tf.Tensor, ...] = tf.image.combined_non_max_suppression(
        moved(boxes, offsets)[None, :, 1:],  # (1, regions, classes, 4), without the background
        tf.nn.softmax(logits)[None, :, 1:],  # (1, regions, classes)
        max_output_size_per_class=MOST,
        max_total_size=MOST,
        iou_threshold=SUPPRESSED,
        score_threshold=LEAST,
        clip_boxes=False,
    )
    return suppressed
