"""The training batches of a detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.voc_devkits import CAT, DOG, objects
from tf_spot.config import IMAGE_MEAN
from tf_spot.data.voc import VOC
from tf_spot.evaluation.voc.metrics import overlaps
from tf_spot.evaluation.voc.regions import PHOTOS, REGIONS, TrainingRegions, draw, joined, scaled


def test_a_quarter_of_the_regions_holds_objects() -> None:
    """20 boxes on the dog, 20 beside it, 20 far away, 20 on a difficult cat."""
    dog, cat = (10.0, 10.0, 30.0, 30.0), (60.0, 60.0, 80.0, 80.0)
    shift = np.linspace(0, 2, 20)[:, None]
    proposals = np.concatenate([np.float32([box]) + shift for box in (dog, (10, 22, 30, 42), (90, 0, 99, 9), cat)])
    drawn = draw(proposals, objects((dog, DOG, False), (cat, CAT, True)), 64, np.random.default_rng(0))
    assert [part.shape for part in drawn] == [(64, 4), (64,), (64, 4)]
    assert sorted(set(drawn.classes.tolist())) == [0, 1 + DOG] and np.count_nonzero(drawn.classes) == 16
    share = overlaps(drawn.boxes, [dog])[:, 0]
    assert ((share >= 0.5) == (drawn.classes > 0)).all()
    assert (drawn.wanted[drawn.classes > 0] == dog).all()
    np.testing.assert_array_equal(drawn.wanted[drawn.classes == 0], drawn.boxes[drawn.classes == 0])
    near = (share >= 0.1) & (share < 0.5)
    assert np.count_nonzero(near) == 20  # all of them, before the others
    # Where there is little background it comes again, objects do not; where there is none, they do.
    whole = np.float32([[0, 0, 99, 99]])
    few = draw(whole, objects(), 64, np.random.default_rng(0))
    assert few.classes.tolist() == [0] * 64 and (few.boxes == whole).all()
    few = draw(whole, objects((dog, DOG, False)), 64, np.random.default_rng(0))
    assert few.classes.tolist() == [1 + DOG] + [0] * 63
    few = draw(whole, objects(((0, 0, 99, 90), DOG, False)), 64, np.random.default_rng(0))
    assert few.classes.tolist() == [1 + DOG] * 64


def test_photos_are_scaled_by_their_shorter_side_and_joined_in_the_mean_colour() -> None:
    photo = np.full((30, 40, 3), 200, np.uint8)
    wide, long = scaled(photo, 60), scaled(photo[:6], 60)
    assert wide.pixels.shape == (60, 80, 3) and wide.factor.tolist() == [2, 2, 2, 2]
    assert long.pixels.shape == (18, 120, 3)  # the longer side is twice the scale
    images = joined([wide.pixels, long.pixels])
    assert images.shape == (2, 64, 128, 3) and images.dtype == np.float32
    pixels = images * 127.5 + 127.5
    np.testing.assert_allclose(pixels[0, :60, :80], 200, atol=1e-4)
    np.testing.assert_allclose(pixels[1, 18:], np.broadcast_to(np.float32(IMAGE_MEAN), (46, 128, 3)), atol=1e-4)


def test_batches_hold_the_objects_where_they_are_and_follow_from_seed_and_step(boxed_devkit: Path) -> None:
    voc, names = VOC(f"voc:{boxed_devkit}"), [f"{number:06d}" for number in range(6)]
    boxes = [np.float32([[0, 0, 48, 64], [30, 0, 48, 20]])] * 6
    examples = TrainingRegions(voc, names, boxes, [48, 96], seed=3)
    assert examples.steps == 3
    seen, mirrored_left, heights = [], [], set()
    for step in range(12):
        images, regions, owners, classes, wanted = examples.batch(step)
        heights.add(images.shape[1])
        assert owners.tolist() == [0] * REGIONS + [1] * REGIONS and regions.shape == (PHOTOS * REGIONS, 4)
        for owner in range(PHOTOS):
            held = np.flatnonzero((owners == owner) & (classes > 0))
            assert len(held) == 1  # the object itself: no other box is on it
            top, left, bottom, right = (wanted[held[0]] * np.array([*images.shape[1:3]] * 2)).round().astype(int)
            pixels = images[owner] * 127.5 + 127.5
            channel = 0 if classes[held[0]] == 1 + DOG else 2
            light = pixels[..., channel] > 140
            light[:, scaled(voc.photo(names[0]), images.shape[1]).pixels.shape[1] :] = False  # beyond the photo
            assert np.count_nonzero(light[top:bottom, left:right]) > 0.9 * max(1, np.count_nonzero(light))
            seen.append((channel, bottom - top))
            mirrored_left.append(left * 48 / images.shape[1])
    assert heights == {48, 96}
    assert len({round(left) for left in mirrored_left}) > 6  # mirror images: more places than photos
    for one, other in zip(
        examples.batch(5), TrainingRegions(voc, names, boxes, [48, 96], seed=3).batch(5), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(examples.batch(5)[1], TrainingRegions(voc, names, boxes, [48, 96], seed=4).batch(5)[1])
