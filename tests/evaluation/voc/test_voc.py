"""PASCAL VOC: its measures on worked cases, its folder, and the classification task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

from tf_spot.cli import main
from tf_spot.config import PAPER, preset
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.data.voc import CLASSES, VOC
from tf_spot.errors import UserError
from tf_spot.evaluation.voc.classification import sure_sigmoids, ten_crops
from tf_spot.evaluation.voc.metrics import average_precision, confusion, mean_precision, multi_label_precisions, unions
from tf_spot.evaluation.voc.segmentation import palette, pixel_loss, save_mask
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs.run import Run

# --- measures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "positives", "points", "area"),
    [
        # Right, wrong, right: precision 1 up to recall 1/2, then 2/3. Recalls 0 ... 0.5 are six points of eleven.
        ([1, 0, 1], 2, (6 * 1 + 5 * 2 / 3) / 11, (1 + 2 / 3) / 2),
        # Of three to find one is never answered: recalls 0.7 and beyond are not reached.
        ([1, 0, 1], 3, (4 * 1 + 3 * 2 / 3) / 11, (1 + 2 / 3) / 3),
        # Precision rises from 1/2 to 2/3: what counts is the best from there on.
        ([0, 1, 1], 2, 2 / 3, 2 / 3),
        # Ten to find, three found at once: recall 0.3 is reached exactly, four points.
        ([1, 1, 1], 10, 4 / 11, 0.3),
        ([1, 1], 2, 1, 1),
        ([0, 0], 2, 0, 0),
        ([], 2, 0, 0),
    ],
)
def test_average_precision_by_hand(hits: list[int], positives: int, points: float, area: float) -> None:
    assert average_precision(np.array(hits, bool), positives) == pytest.approx((points, area))


def test_a_class_without_positives_has_none_and_does_not_count_in_the_mean() -> None:
    assert np.isnan(average_precision(np.array([False]), 0)).all()
    found = [average_precision(np.array([False]), 0), average_precision(np.array([True]), 1)]
    assert mean_precision(found) == (1, 1)
    assert np.isnan(mean_precision(found[:1])).all()


def test_difficult_photos_do_not_count_and_ties_gain_nothing() -> None:
    scores = np.array([[0.9, 0.5, 0.5], [0.8, 0.5, 0.5], [0.7, 0.5, 0.5]])
    labels = np.array([[0, 1, 0], [1, -1, 0], [-1, -1, -1]])
    first, tied, absent = multi_label_precisions(scores, labels)
    assert first == (1, 1)  # without the difficult photo the right one leads
    assert tied == pytest.approx((1 / 3, 1 / 3))  # the right one comes last of three equals
    assert np.isnan(absent).all()


def test_area_is_that_of_a_precision_made_to_fall() -> None:
    numbers = np.random.default_rng(0)
    scores, labels = numbers.normal(size=(300, 4)), np.where(numbers.random((300, 4)) < 0.2, 1, -1)
    for column, found in enumerate(multi_label_precisions(scores, labels)):
        ranked = labels[np.argsort(-scores[:, column]), column] > 0
        places = np.flatnonzero(ranked) + 1
        falls = [max((k + 1) / places[k] for k in range(start, len(places))) for start in range(len(places))]
        assert found.area == pytest.approx(np.mean(falls))
        # scikit-learn leaves the precision as it is: never more
        plain = average_precision_score(ranked, -np.arange(300))
        assert plain <= found.area < plain + 0.05


def test_intersection_over_union_by_hand() -> None:
    truth, found = np.array([[0, 0, 1], [1, 255, 0]]), np.array([[0, 1, 1], [1, 1, 0]])
    counts = confusion(truth, found, 3, 255)
    assert counts.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]  # the border is not counted
    np.testing.assert_allclose(unions(counts), [2 / 3, 2 / 3, np.nan])  # class 2 is nowhere


# --- folder -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """40 photos to learn from and 12 to test on; a photo's class is its colour: train is red, cow is blue."""
    root = tmp_path / "VOCdevkit" / "VOC2007"
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


def test_labels_are_those_of_the_lists(devkit: Path) -> None:
    voc = VOC(f"voc:{devkit}")
    assert (voc.name, voc.splits) == ("voc2007", ("trainval", "test"))
    assert VOC(f"voc:{devkit / 'VOC2007'}").fingerprint() == voc.fingerprint()
    names, labels = voc.labels("test")
    assert names[:2] == ["000100", "000101"] and labels.shape == (12, 20)
    assert labels[:4, CLASSES.index("train")].tolist() == [-1, 1, -1, 1]
    assert labels[:4, CLASSES.index("dog")].tolist() == [-1, -1, -1, 0]
    before = voc.fingerprint()
    (devkit / "VOC2007" / "JPEGImages" / "000100.jpg").write_bytes(b"other")
    assert voc.fingerprint() != before
    with pytest.raises(UserError, match=r"JPEGImages/000100.jpg of .* cannot be read"):
        voc.photos("test", 16, PAPER.data)


def test_without_test_labels_val_is_tested(devkit: Path) -> None:
    lists = devkit / "VOC2007" / "ImageSets" / "Main"
    for file in list(lists.glob("*.txt")):
        split = {"trainval": "train", "test": "val"}[file.stem.split("_")[1]]
        file.rename(file.with_name(f"{file.stem.split('_')[0]}_{split}.txt"))
    assert VOC(f"voc:{devkit}").splits == ("train", "val")


def test_wrong_folders_are_told(devkit: Path, tmp_path: Path) -> None:
    lists = devkit / "VOC2007" / "ImageSets" / "Main"
    with pytest.raises(UserError, match=r"--data voc:PATH .* received: folder:x"):
        VOC("folder:x")
    with pytest.raises(UserError, match="official VOCdevkit folder"):
        VOC(f"voc:{tmp_path / 'none'}")
    text = (lists / "dog_test.txt").read_text()
    for wrong, says in (
        (text[: len(text) // 2], "must hold a photo's name|must name the photos"),
        (text.replace(" 0\n", " 2\n"), "must name the photos .* -1, 0 or 1"),
        (text.replace("000100", "000999"), "must name the photos"),
        (text + "x\n", "a photo's name and -1, 0 or 1 per line"),
    ):
        (lists / "dog_test.txt").write_text(wrong)
        with pytest.raises(UserError, match=says):
            VOC(f"voc:{devkit}").labels("test")
    (lists / "dog_test.txt").unlink()
    with pytest.raises(UserError, match="dog_test.txt must hold"):
        VOC(f"voc:{devkit}").labels("test")
    (lists / "aeroplane_test.txt").unlink()
    with pytest.raises(UserError, match="is the archive of the test set unpacked too"):
        VOC(f"voc:{devkit}")


# --- the task ---------------------------------------------------------------------------------------------------------


def test_loss_leaves_difficult_classes_out() -> None:
    logits = np.float32([[0.0, 5.0, 2.0], [1.0, 1.0, 1.0]])
    labels = np.float32([[1, 0, -1], [0, 0, 0]])
    by_hand = (np.log(2) + np.log1p(np.exp(2.0))) / 2
    np.testing.assert_allclose(sure_sigmoids(labels, keras.ops.convert_to_tensor(logits)), [by_hand, 0], rtol=1e-6)


def test_ten_crops_are_corners_and_centre_and_their_mirrors() -> None:
    photo = np.zeros((20, 20, 3), np.uint8)
    photo[:3, :3] = 255  # the first corner's crop of 17 pixels alone holds all of it
    photos = LabelledPhotos([photo] * 17, np.zeros((17, 20)), image_size=17, config=PAPER.data, name="x")
    batches = list(ten_crops(photos))
    assert [batch.shape for batch in batches] == [(160, 17, 17, 3), (10, 17, 17, 3)]
    crops = batches[1]
    lit = (crops[..., 0] > 0).sum(axis=(1, 2))
    assert lit.tolist() == [9, 0, 0, 0, 4, 9, 0, 0, 0, 4]
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])
    assert (crops.min(), crops.max()) == (-1, 1)


def test_pixels_without_a_class_do_not_count_in_the_loss() -> None:
    logits = np.zeros((1, 1, 3, 21), np.float32)
    logits[0, 0, 2, 5] = 9
    classes = np.uint8([[[0, 20, 255]]])
    assert float(pixel_loss(classes, keras.ops.convert_to_tensor(logits))) == pytest.approx(np.log(21))
    assert float(pixel_loss(np.full_like(classes, 255), keras.ops.convert_to_tensor(logits))) == 0


def test_masks_are_paletted_in_the_colours_of_the_devkit(tmp_path: Path) -> None:
    classes = np.uint8([[0, 1, 2], [15, 20, 255]])
    save_mask(tmp_path / "a" / "m.png", classes)
    with Image.open(tmp_path / "a" / "m.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), classes)
        # background, aeroplane, bicycle, person, tvmonitor and border, as the devkit's colour map has them
        colours = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192]]
        assert np.asarray(image.convert("RGB")).reshape(6, 3).tolist() == colours
    assert len(palette()) == 768


@pytest.fixture
def run(tmp_path: Path) -> Run:
    config = preset("tiny").replace(
        **{"data.image_size": 16, "network.width": 0.125, "network.fc_units": 8, "training.batch_size": 4}
    )
    made = Run.create(tmp_path / "run", config, {"spec": "x", "name": "x", "fingerprint": "0", "counts": {}})
    build_spotter(config, build_autoencoder(config)).save(made.model_path("spotter"))
    for stage in ("autoencoder", "spotter"):
        made.add_metrics({"stage": stage, "epoch": 1, "step": 1, "images_seen": 4, "seconds": 1.0})
    return made


@pytest.mark.slow
def test_segmentation_from_the_command_line(devkit: Path, run: Run) -> None:
    """The left half of a photo is of its class, the right one background; the last row is border."""
    root = devkit / "VOC2007"
    (root / "ImageSets" / "Segmentation").mkdir()
    for split, first, count in (("train", 0, 20), ("val", 20, 20), ("test", 100, 6)):
        names = [f"{number:06d}" for number in range(first, first + count)]
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            mask = np.zeros((30, 40), np.uint8)
            mask[:, :20] = 1 + int(name) % 2
            mask[-1] = 255
            with Image.open(root / "JPEGImages" / f"{name}.jpg") as file:
                photo = np.array(file)
            photo[:, 20:] = 0
            Image.fromarray(photo).save(root / "JPEGImages" / f"{name}.jpg")
            save_mask(root / "SegmentationClass" / f"{name}.png", mask)
    command = ["evaluate", str(run.path), "--data", f"voc:{devkit}", "--task", "voc-segmentation", "--strategy", "none"]
    assert main([*command, "--epochs", "30", "--patience", "30", "--learning-rate", "0.01"]) == 0
    result: dict[str, Any] = json.loads((run.path / "results" / "voc-segmentation-voc2007.json").read_text())
    assert (result["train_images"], result["test_images"], result["splits"]) == (40, 6, ["train+val", "test"])
    assert result["by_class"]["background"] > 60 and result["value"] > 40
    counts = np.zeros((21, 21), int)
    for number in range(100, 106):
        with Image.open(run.path / "results" / "voc-segmentation-masks" / "spot" / f"{number:06d}.png") as found:
            counts += confusion(VOC(f"voc:{devkit}").segmentation(f"{number:06d}")[1], np.asarray(found), 21, 255)
    assert round(100 * np.nanmean(unions(counts)), 2) == result["value"]
    assert main([*command, "--rescale"]) == 2


@pytest.mark.slow
def test_classification_from_the_command_line(devkit: Path, run: Run) -> None:
    command = ["evaluate", str(run.path), "--data", f"voc:{devkit}", "--task", "voc-classification", "--epochs", "8",
               "--learning-rate", "0.003", "--strategy", "none"]  # fmt: skip
    assert main(command) == 0
    result: dict[str, Any] = json.loads((run.path / "results" / "voc-classification-voc2007.json").read_text())
    assert (result["train_images"], result["test_images"], result["splits"]) == (40, 12, ["trainval", "test"])
    assert result["by_class"]["dog"] == {"11-point": None, "area": None}  # only difficult ones
    assert result["by_class"]["train"]["area"] > 80
    assert result["value"] == result["by_layer"]["11-point"] > 80
    assert result["fingerprint"] == VOC(f"voc:{devkit}").fingerprint()
    assert list(result["rivals"]) == ["random"]
