"""What a detector is trained on: photos at a scale that is drawn, and regions of them with what they hold.

Source: Girshick, "Fast R-CNN", ICCV 2015, section 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_spot.config import IMAGE_MEAN
from tf_spot.data.exit_guard import READING
from tf_spot.data.voc import VOC, Objects
from tf_spot.evaluation.voc.fast_rcnn import offsets_to
from tf_spot.evaluation.voc.metrics import FOUND, overlaps

PHOTOS = 2  # a step
REGIONS = 64  # of each
FOREGROUND = 0.25  # of the regions hold an object, at most
NEAR = 0.1  # background that overlaps an object by this much is drawn first: it is the hardest
LONGEST = 2  # a photo's longer side, in times its scale, at most
STRIDE = 16  # sides are filled up to multiples of it, the largest stride of a backbone
READERS = 2


class Scaled(NamedTuple):
    """A photo at the scale of the network."""

    pixels: np.ndarray  # uint8 (height, width, 3)
    factor: np.ndarray  # float32 (4,): pixels of the photo to these, for a box


def scaled(photo: np.ndarray, scale: int) -> Scaled:
    """A photo with its shorter side brought to `scale`, or less if the longer one would exceed `LONGEST` times that."""
    height, width = photo.shape[:2]
    factor = min(scale / min(height, width), LONGEST * scale / max(height, width))
    size = [max(1, round(factor * length)) for length in (height, width)]
    pixels = np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR))
    return Scaled(pixels, np.array([size[0] / height, size[1] / width] * 2, np.float32))


def joined(photos: Sequence[np.ndarray]) -> np.ndarray:
    """Photos of different sizes in one batch, each in the top left corner of an image of the mean colour.

    Returns:
        float32 (photos, height, width, 3) in [-1, 1], both sides multiples of `STRIDE`.
    """
    height, width = (STRIDE * -(-max(photo.shape[axis] for photo in photos) // STRIDE) for axis in (0, 1))
    canvas = np.empty((len(photos), height, width, 3), np.float32)
    canvas[:] = IMAGE_MEAN
    for place, photo in zip(canvas, photos, strict=True):
        place[: photo.shape[0], : photo.shape[1]] = photo
    return canvas / 127.5 - 1.0


def sides(images: np.ndarray) -> np.ndarray:
    """Height, width, height, width of a batch: what divides boxes into shares."""
    return np.array([*images.shape[1:3]] * 2, np.float32)


class Drawn(NamedTuple):
    """Regions of one photo."""

    boxes: np.ndarray  # float32 (regions, 4)
    classes: np.ndarray  # int32 (regions,), 0 = background, else 1 + the place in `CLASSES`
    wanted: np.ndarray  # float32 (regions, 4): the object that a region holds; of background the region itself


def draw(proposals: np.ndarray, objects: Objects, count: int, numbers: np.random.Generator) -> Drawn:
    """Draws regions of a photo from its proposals and objects; where there is little background, it comes again.

    Difficult objects are left out, as in Fast R-CNN: what covers them is background.

    Args:
        proposals: (boxes, 4), one at least.
        objects: of the photo, in the same pixels.
        count: regions.
        numbers: of the draw.
    """
    truth, classes = objects.boxes[~objects.difficult], objects.classes[~objects.difficult]
    boxes = np.concatenate([truth, proposals]).astype(np.float32)
    shares = np.hstack([np.zeros((len(boxes), 1)), overlaps(boxes, truth)])  # a column for no object
    best, held = shares.max(axis=1), shares.argmax(axis=1) - 1
    kinds = (best >= FOUND, (NEAR <= best) & (best < FOUND), best < NEAR)
    front, near, far = (numbers.permutation(np.flatnonzero(which)) for which in kinds)
    front, back = front[: int(FOREGROUND * count)], np.concatenate([near, far])
    chosen = np.concatenate([front, np.resize(back, count - len(front))]) if len(back) else np.resize(front, count)
    holds = best[chosen] >= FOUND
    wanted, found = boxes[chosen], np.zeros(count, np.int32)
    wanted[holds] = truth[held[chosen[holds]]]
    found[holds] = 1 + classes[held[chosen[holds]]]
    return Drawn(boxes[chosen], found, wanted)


class TrainingRegions:
    """The training batches of a detector; batch number s is a function of (seed, s).

    Args:
        voc: the photos.
        names: of those to learn from.
        proposals: of each, (boxes, 4).
        scales: of which every batch draws one.
        seed: of the order, scales, mirror images and regions.

    Attributes:
        steps: in an epoch.
    """

    def __init__(
        self, voc: VOC, names: Sequence[str], proposals: Sequence[np.ndarray], scales: Sequence[int], seed: int
    ) -> None:
        self.voc, self.names, self.proposals, self.scales, self.seed = voc, names, proposals, scales, seed
        self.objects = [voc.objects(name) for name in names]
        self.steps = max(1, len(names) // PHOTOS)

    def batch(self, step: int, photos: int = PHOTOS) -> tuple[np.ndarray, ...]:
        """Batch number `step`.

        Returns:
            images (photos, height, width, 3) in [-1, 1]; of all regions: boxes and `Drawn.wanted` as shares of the
            image's sides, owners and classes; in the order images, boxes, owners, classes, wanted.
        """
        epoch, place = divmod(int(step), self.steps)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.names))
        numbers = np.random.default_rng((self.seed, int(step), 1))
        scale = int(numbers.choice(self.scales))
        images, regions = [], []
        with READING.photo():
            for number in np.resize(np.roll(order, -PHOTOS * place), photos).tolist():
                photo = scaled(self.voc.photo(self.names[number]), scale)
                drawn = draw(self.proposals[number], self.objects[number], REGIONS, numbers)
                boxes, wanted = drawn.boxes * photo.factor, drawn.wanted * photo.factor
                pixels = photo.pixels
                if numbers.random() < 0.5:
                    pixels, boxes = pixels[:, ::-1], mirrored(boxes, pixels.shape[1])
                    wanted = mirrored(wanted, pixels.shape[1])
                images.append(pixels)
                regions.append((boxes, wanted, drawn.classes))
        batch = joined(images)
        boxes, wanted, classes = (np.concatenate(each) for each in zip(*regions, strict=True))
        owners = np.repeat(np.arange(photos, dtype=np.int32), REGIONS)
        return batch, boxes / sides(batch), owners, classes, wanted / sides(batch)

    def stream(self) -> tf.data.Dataset:
        """The batches for ever: ((images, boxes, owners), (classes, targets)), as `Detector` takes them."""
        kinds = (tf.float32, tf.float32, tf.int32, tf.int32, tf.float32)
        shapes = ((PHOTOS, None, None, 3), *((PHOTOS * REGIONS, *rest) for rest in ((4,), (), (), (4,))))

        def example(step: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
            parts = tf.numpy_function(self.batch, [step], kinds, stateful=False)
            images, boxes, owners, classes, wanted = map(tf.ensure_shape, parts, shapes)
            return (images, boxes, owners), (classes, offsets_to(boxes, wanted))

        return tf.data.Dataset.counter().map(example, num_parallel_calls=READERS).prefetch(2)


def mirrored(boxes: np.ndarray, width: int) -> np.ndarray:
    """Boxes (n, 4) of an image that is mirrored left to right."""
    top, left, bottom, right = boxes.T
    return np.stack([top, width - right, bottom, width - left], axis=1).astype(np.float32)
