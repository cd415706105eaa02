"""Scores and heat maps: their values, their shapes, where they point, and any kind of image file."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.inference.heat_map import overlay, spot, spot_files
from tf_spot.models.from_config import build_autoencoder, build_spotter

CONFIG = preset("tiny").replace(**{"network.width": 0.125, "network.fc_units": 8, "training.batch_size": 4})
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def spotter():
    """Untrained: 32 pixels, cells of 4."""
    return build_spotter(CONFIG, build_autoencoder(CONFIG))


@pytest.fixture(scope="module")
def certain():
    """A spotter that gives every image the score 3/4 and every cell 4/5."""
    spotter = build_spotter(CONFIG, build_autoencoder(CONFIG))
    discriminator = spotter.discriminator
    for layer in (discriminator.fc2, discriminator.mask_head):
        layer.kernel.assign(tf.zeros_like(layer.kernel))
    discriminator.fc2.bias.assign([np.log(3.0), 0.0])  # class 0 is "repaired"
    discriminator.mask_head.bias.assign([-np.log(4.0)])  # the sigmoid, 1/5, is the probability that a cell was kept
    return spotter


def photo(height, width):
    return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


def test_score_and_heat_map_are_probabilities_of_repair(certain) -> None:
    seen = spot(certain, photo(32, 32))
    assert seen.score == pytest.approx(0.75, abs=1e-6)
    np.testing.assert_allclose(seen.heat_map, np.full((8, 8), 0.8), atol=1e-6)
    assert seen.heat_map.dtype == np.float32


@pytest.mark.parametrize(
    ("height", "width", "cells"),
    [(32, 32, (8, 8)), (64, 96, (8, 12)), (80, 40, (16, 8)), (40, 64, (8, 13)), (5, 1000, (8, 128)), (1, 1, (8, 8))],
)
def test_heat_map_keeps_the_image_shape(spotter, height, width, cells) -> None:
    """The short side becomes 32 pixels, 8 cells; the long side is cut off at 16 times that."""
    assert spot(spotter, photo(height, width)).heat_map.shape == cells


def test_score_is_the_discriminators_own(spotter) -> None:
    image = photo(32, 32)
    images = tf.constant(image[None], tf.float32) / 127.5 - 1
    expected = tf.nn.softmax(spotter.discriminator(images)["realness_logits"])[0, 0]
    assert spot(spotter, image).score == pytest.approx(float(expected), abs=1e-6)


def test_score_is_of_the_whole_image_squeezed_into_the_square(spotter) -> None:
    """A plain image stays plain; half of another colour is seen wherever it is."""
    plain = np.full((50, 140, 3), (200, 30, 90), np.uint8)
    assert spot(spotter, plain).score == pytest.approx(spot(spotter, plain[:32, :32]).score, abs=1e-6)
    for half in (np.s_[:, :70], np.s_[:, 70:]):
        other = plain.copy()
        other[half] = (10, 250, 90)
        assert abs(spot(spotter, other).score - spot(spotter, plain).score) > 1e-5


def test_heat_map_changes_where_the_image_does(spotter) -> None:
    """A mask cell of this network sees less than 32 pixels to either side."""
    before = photo(32, 160)
    after = before.copy()
    after[:, 112:] = 255 - after[:, 112:]
    change = np.abs(spot(spotter, before).heat_map - spot(spotter, after).heat_map).max(axis=0)  # (40,)
    assert change[: (112 - 32) // 4].max() < 1e-6
    assert change[112 // 4 + 2 :].min() > 1e-6


def test_overlay_is_bright_where_the_heat_map_is() -> None:
    image = np.full((20, 40, 3), 128, np.uint8)
    picture = overlay(image, np.array([[0.0, 1.0]], np.float32))
    assert picture.shape == (20, 40, 3) and picture.dtype == np.uint8
    brightness = picture.astype(int).sum(axis=2)
    assert brightness[:, -5:].min() > 2 * brightness[:, :5].max()


def test_overlay_colors_mean_the_same_in_every_image() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    low, half = (overlay(image, np.full((2, 2), value, np.float32)) for value in (0.1, 0.5))
    assert low.max() < half.max()


def test_spotter_without_mask_head_is_refused() -> None:
    config = CONFIG.replace(**{"game.predict_mask": False})
    with pytest.raises(UserError, match="mask head"):
        spot(build_spotter(config, build_autoencoder(config)), photo(32, 32))


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_other_arrays_are_refused(spotter, image) -> None:
    with pytest.raises(UserError, match="must be uint8"):
        spot(spotter, image)


def test_any_image_file_is_spotted_at_its_own_size(spotter, tmp_path) -> None:
    rgb = Image.fromarray(photo(60, 90))
    rgb.convert("L").save(tmp_path / "grey.png")
    rgb.convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(RANDOM.integers(0, 65536, (60, 90)).astype(np.uint16)).save(tmp_path / "deep.png")
    turned = Image.Exif()
    turned[274] = 6  # upright after a quarter turn
    rgb.save(tmp_path / "turned.jpg", exif=turned)
    names = ("grey.png", "alpha.png", "deep.png", "turned.jpg")
    result = spot_files(spotter, [tmp_path / name for name in names], tmp_path / "out")
    assert result["failed"] == []
    for name, entry in zip(names, result["images"], strict=True):
        size = (60, 90) if name == "turned.jpg" else (90, 60)
        with Image.open(tmp_path / "out" / entry["overlay"]) as picture:
            assert picture.size == (entry["width"], entry["height"]) == size
        assert np.shape(entry["heat_map"]) == ((12, 8) if name == "turned.jpg" else (8, 12))
        assert 0 <= entry["score"] <= 1 and 0 <= np.min(entry["heat_map"]) <= np.max(entry["heat_map"]) <= 1
        assert json.loads((tmp_path / "out" / entry["overlay"]).with_suffix(".json").read_text()) == entry
    assert json.loads((tmp_path / "out" / "spot.json").read_text()) == result


def test_files_of_one_name_do_not_overwrite_each_other(spotter, tmp_path) -> None:
    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png", tmp_path / "b" / "x.bmp", tmp_path / "spot.png"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(photo(8, 8)).save(path)
    images = spot_files(spotter, paths, tmp_path / "out")["images"]
    assert [entry["overlay"] for entry in images] == ["x.png", "x-2.png", "x-3.png", "spot-2.png"]
    Image.fromarray(photo(8, 8)).save(tmp_path / "config.png")
    (entry,) = spot_files(spotter, [tmp_path / "config.png"], tmp_path / "run")["images"]
    assert entry["overlay"] == "config-2.png", "a run's own config.json stays"
    assert [json.loads((tmp_path / "out" / f"{n}.json").read_text()) for n in ("x", "x-2", "x-3", "spot-2")] == images


def test_unreadable_files_are_listed_and_the_others_go_on(spotter, tmp_path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(photo(8, 8)).save(tmp_path / "good.png")
    paths = [tmp_path / name for name in ("missing.png", "text.png", "good.png")]
    result = spot_files(spotter, paths, tmp_path / "out")
    assert [entry["path"] for entry in result["images"]] == [str(paths[2])]
    assert [entry["path"] for entry in result["failed"]] == [str(path) for path in paths[:2]]
    assert all(entry["reason"] for entry in result["failed"])
