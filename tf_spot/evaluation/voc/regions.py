"""The training batches of a detector: photos at random scales, and regions of them with their objects.

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

PHOTOS = 2  # per step
REGIONS = 64  # per photo
FOREGROUND = 0.25  # share of the regions that hold an object, at most
NEAR = 0.1  # overlap from which background is drawn first: it is the hardest
LONGEST = 2  # a photo's longer side, in times its scale, at most
STRIDE = 16  # pixels; sides are padded to multiples of it, the largest stride of a backbone
READERS = 2  # batches prepared at a time


class Scaled(NamedTuple):
    """A photo at the scale of the network."""

    pixels: np.ndarray  # uint8 (height, width, 3)
    factor: np.ndarray  # float32 (4,): pixels of the photo to these, for a box


def scaled(photo: np.ndarray, scale: int) -> Scaled:
    """Return a photo, uint8 (height, width, 3), with its shorter side brought to `scale` pixels.

    Less if its longer side would exceed `LONGEST` times that.
    """
    height, width = photo.shape[:2]
    factor = min(scale / min(height, width), LONGEST * scale / max(height, width))
    size = [max(1, round(factor * length)) for length in (height, width)]
    pixels = np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR))
    return Scaled(pixels, np.array([size[0] / height, size[1] / width] * 2, np.float32))


def joined(photos: Sequence[np.ndarray]) -> np.ndarray:
    """Put photos of different sizes into one batch, each in the top left corner of an image of the mean colour.

    Returns:
        float32 (photos, height, width, 3) in [-1, 1], both sides multiples of `STRIDE`.
    """
    height, width = (STRIDE * -(-max(photo.shape[axis] for photo in photos) // STRIDE) for axis in (0, 1))
    canvas = np.empty((len(photos), height, width, 3), np.float32)
    canvas[:] = IMAGE_MEAN
    for image, photo in zip(canvas, photos, strict=True):
        image[: photo.shape[0], : photo.shape[1]] = photo
    return canvas / 127.5 - 1.0


def sides(images: np.ndarray) -> np.ndarray:
    """Return height, width, height, width of a batch, float32 (4,): boxes over them are shares of the image.

    Args:
        images: (batch, height, width, channels).
    """
    return np.array([*images.shape[1:3]] * 2, np.float32)


class Drawn(NamedTuple):
    """Regions of one photo."""

    boxes: np.ndarray  # float32 (regions, 4)
    classes: np.ndarray  # int32 (regions,), 0 = background, else 1 + the index into `CLASSES`
    wanted: np.ndarray  # float32 (regions, 4): the object that a region holds; of background the region itself


def draw(proposals: np.ndarray, objects: Objects, count: int, numbers: np.random.Generator) -> Drawn:
    """Draw regions of a photo from its proposals and objects; where there is little background, it is repeated.

    Difficult objects are left out, as in Fast R-CNN: what covers them is background.

    Args:
        proposals: (boxes, 4), at least one.
        objects: of the photo, in the same pixels.
        count: regions to draw.
        numbers: random numbers.
    """
    truth, classes = objects.boxes[~objects.difficult], objects.classes[~objects.difficult]
    boxes = np.concatenate([truth, proposals]).astype(np.float32)
    shares = np.hstack([np.zeros((len(boxes), 1)), overlaps(boxes, truth)])  # (boxes, 1 + objects): 0 is no object
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
        scales: pixels of the shorter side; every batch draws one.
        seed: of the order, scales, mirror images and regions.

    Attributes:
        steps: per epoch.
    """

    def __init__(
        self, voc: VOC, names: Sequence[str], proposals: Sequence[np.ndarray], scales: Sequence[int], seed: int
    ) -> None:
        self.voc, self.names, self.proposals, self.scales, self.seed = voc, names, proposals, scales, seed
        self.objects = [voc.objects(name) for name in names]
        self.steps = max(1, len(names) // PHOTOS)

    def batch(self, step: int, photos: int = PHOTOS) -> tuple[np.ndarray, ...]:
        """Return batch number `step`.

        Args:
            step: from 0.
            photos: how many.

        Returns:
            images float32 (photos, height, width, 3) in [-1, 1]; boxes float32 (regions, 4) as shares of the image's
            sides; owners int32 (regions,), the image that a region is in; classes int32 (regions,); `Drawn.wanted`
            float32 (regions, 4) as shares.
        """
        epoch, step_of_epoch = divmod(int(step), self.steps)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.names))
        numbers = np.random.default_rng((self.seed, int(step), 1))
        scale = int(numbers.choice(self.scales))
        images, regions = [], []
        with READING.photo():
            for index in np.resize(np.roll(order, -PHOTOS * step_of_epoch), photos).tolist():
                photo = scaled(self.voc.photo(self.names[index]), scale)
                drawn = draw(self.proposals[index], self.objects[index], REGIONS, numbers)
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
        """Return endless batches ((images, boxes, owners), (classes, targets)), as `Detector` takes them.

        Returns:
            images float32 (photos, height, width, 3) in [-1, 1]; boxes and targets float32 (regions, 4); owners and
            classes int32 (regions,).
        """
        kinds = (tf.float32, tf.float32, tf.int32, tf.int32, tf.float32)
        shapes = ((PHOTOS, None, None, 3), *((PHOTOS * REGIONS, *rest) for rest in ((4,), (), (), (4,))))

        def example(step: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
            batch = tf.numpy_function(self.batch, [step], kinds, stateful=False)
            images, boxes, owners, classes, wanted = map(tf.ensure_shape, batch, shapes)
            return (images, boxes, owners), (classes, offsets_to(boxes, wanted))

        return tf.data.Dataset.counter().map(example, num_parallel_calls=READERS).prefetch(2)


def mirrored(boxes: np.ndarray, width: int) -> np.ndarray:
    """Return boxes (n, 4), in pixels, of an image that is mirrored left to right: float32 (n, 4)."""
    top, left, bottom, right = boxes.T
    return np.stack([top, width - right, bottom, width - left], axis=1).astype(np.float32)
