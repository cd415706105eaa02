"""Small devkits of VOC, and marked objects: for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tf_spot.data.voc import CLASSES, Objects
from tf_spot.evaluation.voc.detection_score import Detections

Box = tuple[float, float, float, float]  # top, left, bottom, right
DOG, CAT = CLASSES.index("dog"), CLASSES.index("cat")
TRAINED, TESTED = 40, 12  # photos of `write_boxed_devkit`
XML = (
    "<annotation><object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{left}</xmin>"
    "<ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox>"
    "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object></annotation>"
)


def objects(*marked: tuple[Box, int, bool]) -> Objects:
    boxes, classes, difficult = zip(*marked, strict=True) if marked else ((), (), ())
    return Objects(np.float32(boxes).reshape(-1, 4), np.array(classes, np.int64), np.array(difficult, bool))


def found(*marked: tuple[Box, int, float]) -> Detections:
    boxes, classes, scores = zip(*marked, strict=True) if marked else ((), (), ())
    return Detections(np.float32(boxes).reshape(-1, 4), np.float32(scores), np.array(classes, np.int64))


def write_devkit(folder: Path) -> Path:
    """40 photos to learn from and 12 to test on; a photo's class is its colour: train is red, cow is blue."""
    root = folder / "VOCdevkit" / "VOC2007"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    numbers = np.random.default_rng(0)
    for split, count, first in (("trainval", 40, 0), ("test", 12, 100)):
        for number in range(count):
            photo = numbers.integers(0, 100, (30, 40, 3), np.uint8)
            photo[..., 0 if number % 2 else 2] += 150
            Image.fromarray(photo).save(root / "JPEGImages" / f"{first + number:06d}.jpg")
        for name in CLASSES:
            value = {"train": lambda n: 1 if n % 2 else -1, "cow": lambda n: 1 if n % 2 == 0 else -1}
            lines = [f"{first + n:06d} {value.get(name, lambda n: 0 if n == 3 else -1)(n):2}\n" for n in range(count)]
            (root / "ImageSets" / "Main" / f"{name}_{split}.txt").write_text("".join(lines))
    return root.parent


def write_boxed_devkit(folder: Path) -> Path:
    """Dark photos with one bright rectangle each: red ones are dogs, blue ones cats."""
    root = folder / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
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
