"""Patches of the exemplar task: where they are cut, and that no transformation is left out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_task import noise, pictures, positions
from tf_spot.baselines import transformed_patches as patches

NUMBERS = np.random.default_rng(0)
STILL = [0.5] * 10


def draws(count: int, values: list[float]) -> list[tf.Tensor]:
    return [tf.fill((count,), tf.constant(value, tf.float32)) for value in values]


def test_patches_lie_where_the_gradients_are() -> None:
    """A photo with all its texture in the lower right corner. Fails if places are drawn uniformly."""
    image = np.zeros((1, 32, 32, 3), np.float32)
    image[0, 22:30, 22:30] = NUMBERS.uniform(-1, 1, (8, 8, 3))
    energy = patches.gradient_energy(tf.constant(image), 16)
    assert energy.shape == (1, 17, 17)
    uniform = tf.constant(np.linspace(0.001, 0.999, 200), tf.float32)
    places = patches.drawn_centres(tf.repeat(energy, 200, axis=0), uniform).numpy() + 8  # row, column of the corner
    assert places.min() >= 5 and places.max() <= 16, "every patch holds a part of the texture"
    assert places.mean() > 11
    even = patches.drawn_centres(tf.zeros((200, 17, 17)), uniform).numpy() + 8
    assert even.min() == 0 and even.max() == 16 and even.mean() == pytest.approx(8, abs=0.5)


def test_the_patches_of_a_photo_hold_what_is_in_it() -> None:
    """Of the same photo. Taken out: the energy in the task, without which most patches are of empty sky."""
    image = np.zeros((1, 32, 32, 3), np.float32)
    image[0, 22:30, 22:30] = NUMBERS.uniform(-1, 1, (8, 8, 3))
    found = patches.transformed_patches(tf.repeat(tf.constant(image), 64, axis=0), 0, 0, salt=71, copies=2)
    assert (np.std(found, axis=(1, 2)).max(axis=1) > 0.05).mean() > 0.75  # 0.9; of places drawn uniformly about 0.4


def test_probabilities_are_the_energies() -> None:
    energy = tf.repeat(tf.constant([[[1.0, 0.0], [0.0, 3.0]]]), 400, axis=0)
    uniform = tf.constant((np.arange(400) + 0.5) / 400, tf.float32)
    places = patches.drawn_centres(energy, uniform).numpy() + 0.5
    assert {tuple(place) for place in places.tolist()} == {(0.0, 0.0), (1.0, 1.0)}
    assert (places[:, 0] == 0).mean() == pytest.approx(0.25, abs=0.01)


def test_nothing_moves_at_the_middle_of_the_draws() -> None:
    """Only the scale is not 1 there, as its range is not even around 1."""
    images = positions(32)
    still = 1 / np.log(2) * np.log(1 / 0.7)  # the draw at which 0.7 * 2^draw is 1
    found = patches.moved(images, tf.zeros((1, 2)), draws(1, [0.5, 0.5, still, 0.5]), 16)
    np.testing.assert_allclose(found, images[:, 8:24, 8:24], atol=1e-3)
    lower = patches.moved(images, tf.constant([[-8.0, 8.0]]), draws(1, [0.5, 0.5, still, 0.5]), 16)
    np.testing.assert_allclose(lower, images[:, 0:16, 16:32], atol=1e-3)


@pytest.mark.parametrize(
    ("which", "value", "corner", "spacing"),
    [
        (0, 1.0, (11.2, 8), (1, 1)),  # down by a fifth of 16
        (1, 0.0, (8, 4.8), (1, 1)),
        (2, 0.0, (10.25, 10.25), (0.7, 0.7)),
        (2, 1.0, (5, 5), (1.4, 1.4)),
    ],
)
def test_patches_are_moved_and_scaled_as_drawn(which, value, corner, spacing) -> None:
    numbers = [0.5, 0.5, np.log(1 / 0.7) / np.log(2), 0.5]
    numbers[which] = value
    found = patches.moved(positions(32), tf.zeros((1, 2)), draws(1, numbers), 16).numpy()[0]
    np.testing.assert_allclose(found[0, 0], corner, atol=1e-3)
    np.testing.assert_allclose(found[1, 1] - found[0, 0], spacing, atol=1e-3)


def test_patches_are_turned_as_drawn() -> None:
    numbers = [0.5, 0.5, np.log(1 / 0.7) / np.log(2), 1.0]
    found = patches.moved(positions(32), tf.zeros((1, 2)), draws(1, numbers), 16).numpy()[0]
    down = found[9, 8] - found[8, 8]
    assert np.degrees(np.arctan2(down[1], down[0])) == pytest.approx(-20, abs=0.1)
    np.testing.assert_allclose(found.mean(axis=(0, 1)), 15.5, atol=1e-3)


def test_every_draw_changes_the_colours() -> None:
    """All but one at rest; the factors of a power, a factor and a summand rest at other draws than 0.5."""
    rest = [0.5, 0.5, 0.5, *[0.5, np.log(1 / 0.7) / np.log(2), 0.5] * 2, 0.5]
    images = 0.5 * noise(NUMBERS, 2, 8, 8, 3)
    np.testing.assert_allclose(patches.recoloured(images, draws(2, rest)), images, atol=1e-4)
    for which in range(10):
        numbers = list(rest)
        numbers[which] = 0.95
        changed = patches.recoloured(images, draws(2, numbers)).numpy()
        assert np.abs(changed - images).max() > 0.05 and np.abs(changed).max() <= 1 + 1e-6


def test_the_mean_colour_changes_with_the_contrast() -> None:
    """Of a patch of one colour, which has no other contrast. Taken out: the factors on the mean itself."""
    rest = [0.5, 0.5, 0.5, *[0.5, np.log(1 / 0.7) / np.log(2), 0.5] * 2, 0.5]
    patch = tf.ones((1, 4, 4, 3)) * tf.constant((0.4, -0.2, 0.1))
    for which in range(3):
        numbers = list(rest)
        numbers[which] = 0.9
        changed = patches.recoloured(patch, draws(1, numbers)).numpy()
        assert np.abs(changed - patch).max() > 0.05


def test_components_are_three_directions_at_right_angles() -> None:
    np.testing.assert_allclose(patches.COMPONENTS @ patches.COMPONENTS.T, np.eye(3), atol=1e-6)


def test_transformed_photos_cannot_be_told_by_their_mean_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortcut that strong transformations close: it finds nearly all photos without them, and few with them."""

    def found_by_colour() -> float:
        images = pictures(64)
        first, second = tf.split(patches.transformed_patches(images, 0, 0, salt=71, copies=2), 2)
        colours = [tf.reduce_mean(part, axis=(1, 2)).numpy() for part in (first, second)]
        distances = np.linalg.norm(colours[0][:, None] - colours[1][None], axis=-1)
        return float((distances.argmin(axis=1) == np.arange(64)).mean())

    strong = found_by_colour()
    monkeypatch.setattr(patches, "recoloured", lambda images, numbers: images)
    monkeypatch.setattr(patches, "TRANSLATION", 0.0)
    weak = found_by_colour()
    assert weak > 0.7 and strong < 0.4


def test_patches_are_functions_of_seed_and_step() -> None:
    images = pictures(3)
    one = patches.transformed_patches(images, 1, 2, salt=71, copies=2).numpy()
    assert one.shape == (6, 16, 16, 3)
    np.testing.assert_array_equal(patches.transformed_patches(images, 1, tf.constant(2), salt=71, copies=2), one)
    for other in (
        patches.transformed_patches(images, seed, step, salt=71, copies=2) for seed, step in ((2, 2), (1, 3))
    ):
        assert np.abs(other - one).max() > 0.1
    assert np.abs(one[:3] - one[3:]).max(axis=(1, 2, 3)).min() > 0.1
