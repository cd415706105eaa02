"""The jigsaw task: tiles and the set of permutations."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_inputs import inputs_of
from tests.support.pretext_task import check_draws, learn, make, noise, positions
from tf_spot.baselines import jigsaw

NUMBERS = np.random.default_rng(0)


@pytest.mark.parametrize("size", [16, 32, 48, 64, 96])
def test_jigsaw_tiles_stay_in_their_cells(size) -> None:
    """Tiles of neighbouring cells never share a pixel, and a tile leaves room to move."""
    cell, tile = size // 3, jigsaw.tile_size(size)
    assert tile < cell
    seen = []
    for extreme in (0.0, 0.9999999):
        corners = jigsaw.tile_corners(tf.fill((1, 9, 2), extreme), size).numpy()[0]
        expected = np.array([(row * cell, column * cell) for row in range(3) for column in range(3)])
        assert (corners >= expected).all() and (corners + tile <= expected + cell).all()
        seen.append(corners)
    assert (seen[1] > seen[0]).all()


def test_permutations_are_far_apart() -> None:
    """Drawn at random, 64 permutations of nine have pairs that agree at four indices or more."""
    permutations = jigsaw.permutation_set(64)
    assert (np.sort(permutations, axis=1) == np.arange(9)).all()
    distances = (permutations[:, None] != permutations[None]).sum(axis=2)[np.triu_indices(64, 1)]
    assert distances.min() >= 7
    random = np.array([NUMBERS.permutation(9) for _ in range(64)])
    assert (random[:, None] != random[None]).sum(axis=2)[np.triu_indices(64, 1)].min() < distances.min()


def test_every_tile_of_the_task_is_normalised() -> None:
    """Taken out: the normalisation, without which neighbours are known by their brightness."""
    model = make("jigsaw")
    seen = inputs_of(model.backbone, model, 0.3 * noise(NUMBERS, 4, 32, 32, 3) + 0.5)
    assert seen.shape == (9 * 4, 8, 8, 3)
    mean, variance = tf.nn.moments(seen, axes=(1, 2))
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    np.testing.assert_allclose(np.sqrt(variance), 0.5, rtol=0.02)


def test_every_tile_of_the_task_lies_anywhere_in_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the draws, without which all gaps are of one width."""
    monkeypatch.setattr(jigsaw, "normalised", lambda tiles: tiles)
    monkeypatch.setattr(jigsaw, "GREY_SHARE", 0.0)
    model = make("jigsaw")
    images = tf.repeat(tf.concat([positions(32), positions(32)[..., :1]], axis=-1), 16, axis=0)
    corners = inputs_of(model.backbone, model, images).numpy()[:, 0, 0, :2].reshape(16, 9, 2)
    cells, offsets = np.divmod(corners, 10)
    assert all({tuple(cell) for cell in of_image} == set(np.ndindex(3, 3)) for of_image in cells)
    assert set(np.unique(offsets)) == {0, 1, 2} and (np.ptp(offsets, axis=1) > 0).all()


def test_some_images_are_grey() -> None:
    """Taken out: grey, without which chromatic aberration tells the place of every tile."""
    model = make("jigsaw")
    seen = inputs_of(model.backbone, model, noise(NUMBERS, 64, 32, 32, 3)).numpy().reshape(64, 9, -1, 3)
    grey = np.ptp(seen, axis=-1).max(axis=2) < 1e-5  # (images, tiles)
    assert (grey.all(axis=1) | ~grey.any(axis=1)).all()
    assert 0.15 < grey[:, 0].mean() < 0.45


@pytest.mark.slow
def test_jigsaw_is_learnt() -> None:
    """Chance: 1/64 of the orders."""
    assert learn(make("jigsaw"), 160)["pretext_accuracy"][1] > 0.2


@pytest.mark.slow
def test_draws_are_functions_of_seed_and_step() -> None:
    check_draws("jigsaw")
