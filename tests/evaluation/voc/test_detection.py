"""VOC detection: the devkit's measure on worked cases, the regions, the network, and the task from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_spot.cli import main
from tf_spot.config import IMAGE_MEAN, preset
from tf_spot.data.voc import CLASSES, VOC, Objects
from tf_spot.errors import UserError
from tf_spot.evaluation.finetune import Recipe
from tf_spot.evaluation.protocols import run_protocol
from tf_spot.evaluation.voc import detection
from tf_spot.evaluation.voc.detection import Found, detect, reach, score
from tf_spot.evaluation.voc.fast_rcnn import CELLS, SPREAD, Detector, detection_loss, moved, offsets_to, pool_regions
from tf_spot.evaluation.voc.metrics import IGNORED, RIGHT, WRONG, detection_precision, judge, overlaps
from tf_spot.evaluation.voc.proposals import Proposals, default_folder
from tf_spot.evaluation.voc.regions import PHOTOS, REGIONS, TrainingRegions, draw, joined, scaled
from tf_spot.models.backbones import AlexNet
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs.run import Run

Box = tuple[float, float, float, float]
DOG, CAT = CLASSES.index("dog"), CLASSES.index("cat")


def objects(*marked: tuple[Box, int, bool]) -> Objects:
    boxes, classes, difficult = zip(*marked, strict=True) if marked else ((), (), ())
    return Objects(np.float32(boxes).reshape(-1, 4), np.array(classes, np.int64), np.array(difficult, bool))


def found(*marked: tuple[Box, int, float]) -> Found:
    boxes, classes, scores = zip(*marked, strict=True) if marked else ((), (), ())
    return Found(np.float32(boxes).reshape(-1, 4), np.float32(scores), np.array(classes, np.int64))


# --- the measure ------------------------------------------------------------------------------------------------------


def test_overlaps_by_hand() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30]]
    np.testing.assert_allclose(overlaps(boxes, boxes[:2]), [[1, 0.5], [0.5, 1], [0, 0]])
    np.testing.assert_allclose(overlaps([[0, 0, 10, 10]], [[5, 5, 15, 15]]), [[25 / 175]])
    assert overlaps(np.zeros((0, 4)), boxes).shape == (0, 3)


@pytest.mark.parametrize(
    ("boxes", "marked", "difficult", "verdicts"),
    [
        # The same object three times: the first is right.
        ([[0, 0, 10, 10]] * 3, [[0, 0, 10, 10]], [False], [RIGHT, WRONG, WRONG]),
        # An overlap of exactly a half is enough, a little less is not.
        ([[0, 0, 10, 5], [0, 0, 10, 4.9]], [[0, 0, 10, 10]], [False], [RIGHT, WRONG]),
        # A difficult object counts neither way, however often.
        ([[0, 0, 10, 10]] * 2, [[0, 0, 10, 10]], [True], [IGNORED, IGNORED]),
        # Judged by the object it overlaps most, which is difficult, though it would find the other one too.
        ([[0, 0, 10, 10]], [[0, 0, 10, 10], [0, 0, 10, 9]], [True, False], [IGNORED]),
        # Two objects, two boxes that both overlap the first one most: the second object is not found.
        ([[0, 0, 10, 10], [0, 0, 10, 9]], [[0, 0, 10, 9.5], [0, 0, 10, 6]], [False, False], [RIGHT, WRONG]),
        ([[0, 0, 10, 10]], [], [], [WRONG]),
        ([], [[0, 0, 10, 10]], [False], []),
    ],
)
def test_boxes_are_judged_as_in_the_devkit(
    boxes: list[Any], marked: list[Any], difficult: list[bool], verdicts: list[int]
) -> None:
    shaped = [np.float32(each).reshape(-1, 4) for each in (boxes, marked)]
    assert judge(*shaped, np.array(difficult, bool)).tolist() == verdicts


def test_detection_precision_by_hand() -> None:
    # right, wrong, right of two: as in test_voc.py
    assert detection_precision([0.9, 0.8, 0.7], [RIGHT, WRONG, RIGHT], 2) == pytest.approx(
        ((6 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2)
    )
    # what is ignored changes nothing, wherever it ranks
    assert detection_precision([0.95, 0.9, 0.8, 0.7], [IGNORED, RIGHT, WRONG, RIGHT], 2) == pytest.approx(
        ((6 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2)
    )
    assert detection_precision([0.5] * 3, [RIGHT, WRONG, WRONG], 1) == pytest.approx((1 / 3, 1 / 3))  # ties
    assert detection_precision([], [], 2) == (0, 0)
    assert np.isnan(detection_precision([0.5], [WRONG], 0)).all()


def test_score_leaves_absent_and_difficult_classes_out() -> None:
    whole, half = (0, 0, 10, 10), (0, 0, 10, 4)
    truth = [objects((whole, DOG, False)), objects((whole, CAT, True)), objects(), objects((whole, DOG, False))]
    ours = [
        found((whole, DOG, 0.9), (whole, CAT, 0.99)),  # right; a cat where there is none
        found((whole, CAT, 0.8)),  # finds the difficult one
        found((whole, DOG, 0.3)),  # a photo without objects: wrong
        found((half, DOG, 0.5)),  # overlaps too little: wrong
    ]
    figures = score(ours, truth, seed=0)
    assert figures["by_class"]["cat"] == {"11-point": None, "area": None}  # none but a difficult one
    assert figures["by_class"]["dog"] == {"11-point": round(600 / 11, 2), "area": 50.0}  # one of two, ranked first
    assert figures["value"] == figures["by_layer"]["11-point"] == round(600 / 11, 2)
    assert figures["stderr"] > 0
    nothing = score([found()] * 4, truth, seed=0)
    assert nothing["value"] == 0 and nothing["stderr"] == 0
    with pytest.raises(UserError, match="not difficult; received none"):
        score([found()], [objects((whole, CAT, True))], seed=0)


def devkit_precision(ours: Sequence[Found], truth: Sequence[Objects], number: int) -> float:
    """VOC2007's measure in loops, one box after the other through all photos: its definition, as a second opinion."""
    ranked = sorted(
        ((float(s), photo, box) for photo, each in enumerate(ours)
         for box, s, c in zip(each.boxes, each.scores, each.classes, strict=True) if c == number),
        key=lambda one: -one[0],
    )  # fmt: skip
    taken: set[tuple[int, int]] = set()
    right = wrong = 0
    curve = []
    positives = sum(int(np.sum((each.classes == number) & ~each.difficult)) for each in truth)
    for _, photo, box in ranked:
        best, which = 0.0, -1
        for place in np.flatnonzero(truth[photo].classes == number):
            other = truth[photo].boxes[place]
            both = max(0.0, min(box[2], other[2]) - max(box[0], other[0])) * max(
                0.0, min(box[3], other[3]) - max(box[1], other[1])
            )
            either = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both
            if both / either > best:
                best, which = both / either, int(place)
        if best >= 0.5 and truth[photo].difficult[which]:
            continue
        if best >= 0.5 and (photo, which) not in taken:
            taken.add((photo, which))
            right += 1
        else:
            wrong += 1
        curve.append((right / positives, right / (right + wrong)))
    return sum(max((p for r, p in curve if r >= k / 10 - 1e-12), default=0.0) for k in range(11)) / 11


def test_score_is_the_devkits_on_random_boxes() -> None:
    numbers = np.random.default_rng(0)

    def boxes(count: int) -> np.ndarray:
        corner = numbers.uniform(0, 30, (count, 2))
        return np.hstack([corner, corner + numbers.uniform(5, 30, (count, 2))]).astype(np.float32)

    truth, ours = [], []
    for _ in range(60):
        marked = boxes(4)
        truth.append(Objects(marked, numbers.integers(0, 2, 4), numbers.random(4) < 0.2))
        near = (np.repeat(marked, 3, axis=0) + numbers.normal(0, 3, (12, 4))).astype(np.float32)
        ours.append(Found(near, numbers.random(12).astype(np.float32), numbers.integers(0, 2, 12)))
    by_class = score(ours, truth, seed=0)["by_class"]
    for number in (0, 1):
        wanted = devkit_precision(ours, truth, number)
        assert 0.1 < wanted < 0.9
        assert by_class[CLASSES[number]]["11-point"] == pytest.approx(100 * wanted, abs=0.01)


def test_reach_is_the_share_of_objects_that_a_proposal_finds() -> None:
    truth = [objects(((0, 0, 10, 10), DOG, False), ((0, 0, 4, 4), CAT, False)), objects(((0, 0, 9, 9), CAT, True))]
    assert reach([np.float32([[0, 0, 10, 6]]), np.float32([[0, 0, 1, 1]] * 4)], truth) == {
        "per_photo": 2.5, "recall": 50.0}  # fmt: skip


# --- the folder -------------------------------------------------------------------------------------------------------

XML = (
    "<annotation><object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{left}</xmin>"
    "<ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox>"
    "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object></annotation>"
)
TRAINED, TESTED = 40, 12


@pytest.fixture(scope="module")
def devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark photos with one bright rectangle each: red ones are dogs, blue ones cats."""
    root = tmp_path_factory.mktemp("devkit") / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    numbers = np.random.default_rng(0)
    lists: dict[str, list[str]] = {f"{name}_{split}": [] for name in CLASSES for split in ("trainval", "test")}
    for place in range(TRAINED + TESTED):
        name, split = f"{place:06d}", "trainval" if place < TRAINED else "test"
        dog = place % 2 == 0
        photo = numbers.integers(0, 60, (48, 64, 3), np.uint8)
        top, left = (int(numbers.integers(2, most)) for most in (20, 30))
        bottom, right = top + int(numbers.integers(16, 27)), left + int(numbers.integers(16, 33))
        photo[top:bottom, left:right, 0 if dog else 2] = 230
        Image.fromarray(photo).save(root / "JPEGImages" / f"{name}.jpg", quality=95, subsampling=0)
        edges = {"left": left + 1, "top": top + 1, "right": right, "bottom": bottom}  # the devkit's way of counting
        text = XML.format(name="dog" if dog else "cat", difficult=0, **edges)
        (root / "Annotations" / f"{name}.xml").write_text(text)
        for each in CLASSES:
            lists[f"{each}_{split}"].append(f"{name} {1 if each == ('dog' if dog else 'cat') else -1}")
    for listed, lines in lists.items():
        (root / "ImageSets" / "Main" / f"{listed}.txt").write_text("\n".join(lines))
    return root.parent


def test_annotations_are_read_in_edges_from_zero(devkit: Path, tmp_path: Path) -> None:
    voc = VOC(f"voc:{devkit}")
    marked = voc.objects("000000")
    (box,) = marked.boxes
    photo = voc.photo("000000")[..., 0].astype(int)
    inside = photo[int(box[0]) : int(box[2]), int(box[1]) : int(box[3])]
    assert inside.min() > 150 and np.count_nonzero(photo > 150) == pytest.approx(inside.size, rel=0.05)
    assert (marked.classes.tolist(), marked.difficult.tolist()) == ([DOG], [False])  # and its head is no object
    file = devkit / "VOC2007" / "Annotations" / "none.xml"
    for text, says in (
        (None, "No such file"),
        ("<annotation>", "no element found"),
        (XML.format(name="unicorn", difficult=0, left=1, top=1, right=2, bottom=2), "not in tuple"),
        (XML.format(name="dog", difficult=0, left="x", top=1, right=2, bottom=2), "could not convert"),
        (XML.format(name="dog", difficult=0, left=9, top=1, right=2, bottom=2), "a box from 9, 1 to 2, 2"),
        ("<annotation><object><name>dog</name></object></annotation>", "missing"),
    ):
        if text is not None:
            file.write_text(text)
        with pytest.raises(UserError, match=f"Annotations/none.xml of .* received: .*{says}"):
            voc.objects("none")
    file.write_text("<annotation/>")
    assert voc.objects("none").boxes.shape == (0, 4)
    file.write_text(XML.format(name="dog", difficult=1, left="1.0", top=1, right=10, bottom=10))
    assert voc.objects("none").difficult.tolist() == [True]
    assert voc.objects("none").boxes.tolist() == [[0, 0, 10, 10]]
    file.unlink()
    assert VOC(f"voc:{devkit}").fingerprint() == voc.fingerprint()


def test_another_annotation_is_another_fingerprint(devkit: Path) -> None:
    file = devkit / "VOC2007" / "Annotations" / "000000.xml"
    text, before = file.read_text(), VOC(f"voc:{devkit}").fingerprint()
    file.write_text(text.replace("<difficult>0", "<difficult>1"))
    changed = VOC(f"voc:{devkit}").fingerprint()
    file.write_text(text)
    assert changed != before == VOC(f"voc:{devkit}").fingerprint()


# --- proposals --------------------------------------------------------------------------------------------------------


class Searches:
    """Counts how often selective search runs."""

    def __init__(self, proposals: Proposals) -> None:
        self.count, self.real = 0, proposals._algorithm
        proposals._algorithm = self

    def __call__(self) -> Any:
        self.count += 1
        return self.real()


def test_selective_search_finds_the_objects_and_is_kept(devkit: Path, tmp_path: Path) -> None:
    voc = VOC(f"voc:{devkit}")
    search = Proposals(tmp_path, side=48)
    searches, shares = Searches(search), []
    names = [f"{number:06d}" for number in range(4)]
    boxes = search.find(voc, names, shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0] and searches.count == 4
    for name, found_boxes in zip(names, boxes, strict=True):
        assert overlaps(voc.objects(name).boxes, found_boxes).max() > 0.8
        assert found_boxes[0].tolist() == [0, 0, 48, 64]  # the photo, which is the largest
        assert found_boxes.dtype == np.float32 and (found_boxes[:, 2:] > found_boxes[:, :2]).all()
        assert len(np.unique(found_boxes, axis=0)) == len(found_boxes)
    again = Proposals(tmp_path, side=48)
    searches = Searches(again)
    for one, other in zip(again.find(voc, names, shares.append), boxes, strict=True):
        np.testing.assert_array_equal(one, other)
    assert searches.count == 0
    # another setting: files of its own; the boxes are in pixels of the photo all the same
    smaller = Proposals(tmp_path, side=24)
    searches = Searches(smaller)
    (box, *_) = smaller(voc, names[0])
    assert searches.count == 1 and box.tolist() == [0, 0, 48, 64]
    assert len(list(tmp_path.iterdir())) == 5


def test_a_damaged_or_half_written_file_is_never_read(devkit: Path, tmp_path: Path) -> None:
    voc, search = VOC(f"voc:{devkit}"), Proposals(tmp_path, side=48)
    whole = search(voc, "000000")
    (file,) = tmp_path.iterdir()
    content, searches = file.read_bytes(), Searches(search)
    for kept in (len(content) - 1, 40, 0):
        file.write_bytes(content[:kept])
        np.testing.assert_array_equal(search(voc, "000000"), whole)
        assert file.read_bytes() == content
    assert searches.count == 3
    # what a kill leaves behind while writing has another name
    file.unlink()
    (tmp_path / f".writing-{file.name}").write_bytes(content[:100])
    np.testing.assert_array_equal(search(voc, "000000"), whole)
    assert searches.count == 4
    # the same name, another photo
    path = voc.photo_path("000000")
    before = path.read_bytes()
    path.write_bytes(voc.photo_path("000001").read_bytes())
    assert not np.array_equal(search(voc, "000000"), whole)
    path.write_bytes(before)
    with pytest.raises(UserError, match=r"JPEGImages/none.jpg of .* cannot be read"):
        search(voc, "none")


def test_proposals_are_kept_for_all_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "tf_spot" / "proposals"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home" / ".cache" / "tf_spot" / "proposals"


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2.ximgproc", None)
    with pytest.raises(UserError, match=r"pip install tf-spot\[voc\]"):
        Proposals(tmp_path, side=48)


# --- regions ----------------------------------------------------------------------------------------------------------


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


def test_batches_hold_the_objects_where_they_are_and_follow_from_seed_and_step(devkit: Path) -> None:
    voc, names = VOC(f"voc:{devkit}"), [f"{number:06d}" for number in range(6)]
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


# --- the network ------------------------------------------------------------------------------------------------------


def test_regions_are_pooled_where_they_are() -> None:
    """On a ramp, bilinear sampling is exact: the larger of two samples a cell is known by hand."""
    ramp = np.broadcast_to(np.arange(24, dtype=np.float32)[None, :, None, None], (2, 24, 24, 1)).copy()
    ramp[1] += 100
    boxes = np.float32([[0, 0, 1, 1], [0.25, 0.25, 0.75, 0.75], [0.5, 0, 1, 0.5]])
    pooled = pool_regions(ramp, boxes, np.int32([0, 1, 0])).numpy()
    assert pooled.shape == (3, CELLS, CELLS, 1)
    for region, (first, side) in enumerate([(0, 24), (6, 12), (12, 12)]):
        # value v of the ramp lies at v + 1/2; samples at 3/4 of every cell are the larger ones
        wanted = first + side / CELLS * (np.arange(CELLS) + 0.75) - 0.5 + (100 if region == 1 else 0)
        np.testing.assert_allclose(pooled[region, :, 0, 0], wanted, atol=1e-4)
        assert np.ptp(pooled[region], axis=1).max() < 1e-4
    ones = pool_regions(np.ones((1, 1, 1, 2), np.float32), np.float32([[0, 0, 1, 1]]), np.int32([0]))
    np.testing.assert_allclose(ones, 1)  # no zeros from beyond the edges, on a map of a single value too


def test_offsets_turn_boxes_into_objects() -> None:
    boxes, wanted = np.float32([[0.2, 0.2, 0.4, 0.6]]), np.float32([[0.3, 0.1, 0.5, 0.9]])
    offsets = offsets_to(boxes, wanted)
    # centre (0.3, 0.4) to (0.4, 0.5): half a height and a quarter of a width; the width doubles
    np.testing.assert_allclose(offsets, np.float32([[0.5, 0.25, 0, np.log(2)]]) / SPREAD, atol=1e-5)
    both = tf.stack([tf.zeros((1, 4)), offsets], axis=1)
    np.testing.assert_allclose(moved(boxes, both)[0], [boxes[0], wanted[0]], atol=1e-6)
    np.testing.assert_allclose(moved(boxes, 100 * tf.ones((1, 1, 4)))[0, 0, 2:], 1)  # within the image, and finite


def test_loss_by_hand() -> None:
    logits, offsets = np.zeros((3, 21), np.float32), np.zeros((3, 21, 4), np.float32)
    offsets[1, 5] = [0.5, 3, 0, 0]
    offsets[2] = 7  # background: its box does not matter
    offsets[1, 4] = 9  # another class's box does not matter
    loss = detection_loss(np.int32([5, 5, 0]), np.zeros((3, 4), np.float32), logits, offsets)
    assert float(loss) == pytest.approx(np.log(21) + (0.5**2 / 2 + 2.5) / 3)


def backbone() -> Any:
    return AlexNet(width=0.1, stem_kernel=5, stem_stride=1, trunk_norm="batch", norm_momentum=0.9, norm_epsilon=1e-3)


def test_layers_units_and_norms_take_effect() -> None:
    model = Detector(backbone(), units=8, norms="frozen", trained_layers=2)
    inputs = (tf.random.stateless_uniform((2, 32, 48, 3), (0, 0)), np.float32([[0, 0, 1, 1]] * 3), np.int32([0, 1, 1]))
    logits, offsets = model(inputs)
    assert logits.shape == (3, 21) and offsets.shape == (3, 21, 4)
    assert {variable.path.split("/")[1] for variable in model.backbone.trainable_variables} == {
        "conv4", "norm4", "conv5", "norm5"}  # fmt: skip
    assert [layer.units for layer in model.large] == [8, 8]
    means = [norm.moving_mean.numpy() for norm in model.backbone.norms]
    model(inputs, training=True)
    assert all(np.array_equal(a, b.moving_mean) for a, b in zip(means, model.backbone.norms, strict=True))
    model.norms = "adapt"
    model(inputs, training=True)
    assert not any(np.array_equal(a, b.moving_mean) for a, b in zip(means, model.backbone.norms, strict=True))


class Answers(keras.Model):
    """A detector that is sure of a dog in the first box and half as sure in the next, and moves nothing."""

    def call(self, inputs: Any, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        _, boxes, _ = inputs
        count = tf.shape(boxes)[0]
        sure = tf.concat([[8.0, 4.0], tf.fill([count - 2], -20.0)], axis=0)
        return tf.one_hot(tf.fill([count], 1 + DOG), 21) * sure[:, None], tf.zeros((count, 21, 4))


def test_overlapping_boxes_of_a_class_are_suppressed_and_come_back_in_pixels_of_the_photo() -> None:
    photo = np.zeros((50, 100, 3), np.uint8)
    box, beside, apart = [0.0, 0.0, 50.0, 40.0], [0.0, 5.0, 50.0, 45.0], [10.0, 60.0, 40.0, 100.0]
    for boxes, wanted in (([box, beside, apart], [box]), ([box, apart, beside], [box, apart])):
        ours = detect(Answers(), photo, np.float32(boxes), 40)
        dogs = ours.scores > 0.1
        np.testing.assert_allclose(ours.boxes[dogs], wanted, atol=1e-3)
        assert set(ours.classes[dogs]) == {DOG}


def test_boxes_are_written_as_the_devkit_counts_pixels(tmp_path: Path) -> None:
    """The box of ten pixels in the corner, which an annotation of the devkit calls 1, 1, 10, 10."""
    corner, wide = [0, 0, 10, 10], [4, 20, 30, 50.5]
    found = [
        detection.Found(np.float32([corner, wide]), np.float32([0.75, 0.5]), np.array([DOG, DOG])),
        detection.Found(np.float32([wide]), np.float32([0.25]), np.array([DOG + 1])),
    ]
    detection.save_boxes(tmp_path / "spot", "test", ["000001", "000004"], found)
    files = {file.name: file.read_text() for file in (tmp_path / "spot").iterdir()}
    assert set(files) == {f"comp4_det_test_{name}.txt" for name in CLASSES}
    assert files["comp4_det_test_dog.txt"] == (
        "000001 0.750000 1.0 1.0 10.0 10.0\n000001 0.500000 21.0 5.0 50.5 30.0\n"
    )
    assert files[f"comp4_det_test_{CLASSES[DOG + 1]}.txt"] == "000004 0.250000 21.0 5.0 50.5 30.0\n"
    assert files["comp4_det_test_sofa.txt"] == ""


# --- the task ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Run:
    config = preset("tiny").replace(
        **{"data.image_size": 16, "network.width": 0.125, "network.fc_units": 32, "training.batch_size": 4}
    )
    made = Run.create(tmp_path / "run", config, {"spec": "x", "name": "x", "fingerprint": "0", "counts": {}})
    build_spotter(config, build_autoencoder(config)).save(made.model_path("spotter"))
    for stage in ("autoencoder", "spotter"):
        made.add_metrics({"stage": stage, "epoch": 1, "step": 1, "images_seen": 4, "seconds": 1.0})
    return made


@pytest.mark.slow
def test_detection_from_the_command_line(
    devkit: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped after the first training, it goes on with the test of it; dogs and cats are then found."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = ["evaluate", str(run.path), "--data", f"voc:{devkit}", "--task", "voc-detection", "--strategy", "none",
               "--epochs", "12", "--learning-rate", "0.003", "--scales", "40,48", "--test-scale", "48"]  # fmt: skip
    real, trained = detection.fit_detector, []

    def counted(*arguments: Any) -> Any:
        trained.append(arguments[0])
        return real(*arguments)

    def stop(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(detection, "fit_detector", counted)
    with monkeypatch.context() as patch:
        patch.setattr(detection, "detect", stop)
        assert main(command) == 130
    assert main(command) == 0
    assert len(trained) == 2  # one a method
    result: dict[str, Any] = json.loads((run.path / "results" / "voc-detection-voc2007.json").read_text())
    assert (result["train_images"], result["test_images"], result["splits"]) == (TRAINED, TESTED, ["trainval", "test"])
    assert (result["scales"], result["test_scale"], result["units"], result["epochs"]) == ([40, 48], 48, 32, 12)
    assert result["proposals"]["recall"] == 100 and result["parts_resumed"] == 1
    assert min(result["by_class"][name]["11-point"] for name in ("dog", "cat")) > 30 and result["value"] > 50
    assert result["by_class"]["sofa"] == {"11-point": None, "area": None}
    assert result["value"] == result["by_layer"]["11-point"]
    assert list(result["rivals"]) == ["random"]
    assert "voc-detection on voc2007" in capsys.readouterr().out
    assert not list((run.path / "results" / "parts").iterdir())
    for method in ("spot", "random"):
        dogs = run.path / "results" / "voc-detection-boxes" / method / "comp4_det_test_dog.txt"
        assert len(dogs.read_text().splitlines()) > 0


def test_options_that_do_not_fit_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    def begin(recipe: dict[str, Any] | None = None, **options: Any) -> None:
        folders = {"proposals": Path("x"), "boxes": Path("x")}
        detection.voc_detection(None, None, Recipe(**recipe or {}), None, image_size=64, units=8, **folders, **options)

    with pytest.raises(UserError, match="leave out --patience"):
        begin(recipe={"patience": 1})
    with pytest.raises(UserError, match=r"32 pixels or more; received: \[96, 16\] and 128"):
        begin(scales=[96, 16])
    with pytest.raises(UserError, match="received: .* and 8"):
        begin(test_scale=8)
    with pytest.raises(UserError, match="--scales and --test-scale go with --task voc-detection"):
        run_protocol("none", "voc:x", "voc-segmentation", Recipe(), test_scale=64)
    with pytest.raises(SystemExit):
        main(["evaluate", "none", "--data", "voc:x", "--task", "voc-detection", "--scales", "wide"])
    assert "must be whole numbers like 96,128; received: wide" in capsys.readouterr().err
