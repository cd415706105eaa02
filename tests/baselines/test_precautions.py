"""What the rivals do to images before the backbone sees them: places, gaps, colours, views, and fitted weights."""

import numpy as np
import pytest
import tensorflow as tf
from skimage.color import rgb2lab

from tf_spot.baselines import colorization, context, inpainting, jigsaw, kmeans, simclr
from tf_spot.baselines.patches import cut, whole_numbers
from tf_spot.config import preset
from tf_spot.data import load
from tf_spot.models.from_config import build_discriminator

NUMBERS = np.random.default_rng(0)


def noise(*shape):
    return tf.constant(NUMBERS.uniform(-1, 1, shape), tf.float32)


def places(size):
    """One image whose two channels are each pixel's row and column."""
    return tf.cast(tf.stack(tf.meshgrid(tf.range(size), tf.range(size), indexing="ij"), axis=-1)[None], tf.float32)


# --- patches ----------------------------------------------------------------------------------------------------------


def test_cut_takes_the_patch_below_and_right_of_its_corner() -> None:
    images = tf.concat([places(6), places(6) + 100], axis=0)
    patches = cut(images, tf.constant([[[0, 0], [3, 1]], [[4, 4], [2, 0]]]), 2)
    assert patches.shape == (2, 2, 2, 2, 2)
    np.testing.assert_array_equal(patches[0, 1, ..., 0], [[3, 3], [4, 4]])
    np.testing.assert_array_equal(patches[0, 1, ..., 1], [[1, 2], [1, 2]])
    np.testing.assert_array_equal(patches[1, 0, ..., 0], [[104, 104], [105, 105]])


def test_whole_numbers_fill_their_range() -> None:
    np.testing.assert_array_equal(whole_numbers(tf.constant([0.0, 0.34, 0.67, 0.9999999]), 3), [0, 1, 2, 2])


# --- context ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 32, 48, 64, 96])
def test_context_patches_never_touch_and_lie_in_the_image(size) -> None:
    """Whatever the place and the jitter, at least half of the gap stays; and the places are the eight around."""
    patch = context.patch_size(size)
    for extreme in (0.0, 0.9999999, None):
        jitter = tf.fill((8, 2, 2), extreme) if extreme is not None else NUMBERS.uniform(size=(8, 2, 2))
        corners = context.pair_corners(tf.range(8), tf.cast(jitter, tf.float32), size).numpy()
        assert corners.min() >= 0 and corners.max() + patch <= size
        distance = corners[:, 1] - corners[:, 0]
        gaps = np.abs(distance).max(axis=1) - patch
        assert gaps.min() >= patch // 4
        np.testing.assert_array_equal(np.sign(np.round(distance / (1.5 * patch))), context.NEIGHBOURS)


def test_context_jitter_moves_patches() -> None:
    still = context.pair_corners(tf.range(8), tf.fill((8, 2, 2), 0.5), 64)
    moved = context.pair_corners(tf.range(8), tf.zeros((8, 2, 2)), 64)
    np.testing.assert_array_equal(moved[:, 0], still[:, 0] - 2)


def test_dropped_colours_cannot_be_told() -> None:
    """One channel stays as it is; the others no longer depend on the photo's."""
    patches = noise(3, 8, 8, 3)
    drawn = tf.constant(NUMBERS.uniform(size=(3, 8, 8, 3)), tf.float32)
    kept = tf.constant([0, 2, 1])
    dropped = context.drop_colours(patches, kept, drawn)
    for row, channel in enumerate(kept.numpy()):
        np.testing.assert_allclose(dropped[row, ..., channel], patches[row, ..., channel], atol=1e-6)
        others = [c for c in range(3) if c != channel]
        assert np.abs(dropped.numpy()[row][..., others]).max() < 0.011  # a hundredth of a deviation below 1
    other = tf.where(tf.one_hot(kept, 3)[:, None, None] == 1, patches, noise(3, 8, 8, 3))
    np.testing.assert_allclose(context.drop_colours(other, kept, drawn), dropped, atol=1e-6)


# --- jigsaw -----------------------------------------------------------------------------------------------------------


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


def test_jigsaw_tiles_are_normalised_one_by_one() -> None:
    tiles = noise(4, 8, 8, 3) * tf.constant([0.1, 1.0, 0.5, 0.2])[:, None, None, None] + 0.3
    mean, variance = tf.nn.moments(jigsaw.normalised(tiles), axes=(1, 2))
    np.testing.assert_allclose(mean, 0, atol=1e-5)
    np.testing.assert_allclose(np.sqrt(variance), 0.5, rtol=0.02)


def test_permutations_are_far_apart() -> None:
    """Drawn at random, 64 permutations of nine have pairs that agree in four places or more."""
    permutations = jigsaw.permutation_set(64)
    assert (np.sort(permutations, axis=1) == np.arange(9)).all()
    distances = (permutations[:, None] != permutations[None]).sum(axis=2)[np.triu_indices(64, 1)]
    assert distances.min() >= 7
    random = np.array([NUMBERS.permutation(9) for _ in range(64)])
    assert (random[:, None] != random[None]).sum(axis=2)[np.triu_indices(64, 1)].min() < distances.min()


# --- inpainting -------------------------------------------------------------------------------------------------------


def test_the_hole_hides_the_middle_but_its_border() -> None:
    images = tf.ones((1, 32, 32, 3))
    shown = inpainting.with_hole(images)[0, ..., 0].numpy()
    hidden = np.zeros((32, 32))
    hidden[9:23, 9:23] = 1  # a hole of 16 from 8 to 24, its border of 1 pixel visible
    np.testing.assert_array_equal(shown, 1 - hidden)
    np.testing.assert_array_equal(inpainting.middle(places(32))[0, 0, 0], [8, 8])
    assert inpainting.middle(images).shape == (1, 16, 16, 3)
    weights = inpainting.border_weights(32)
    assert weights.mean() == pytest.approx(1) and weights[0, 0, 5, 0] / weights[0, 1, 5, 0] == pytest.approx(10)


# --- colorization -----------------------------------------------------------------------------------------------------


def test_lab_is_that_of_scikit_image() -> None:
    images = noise(2, 5, 5, 3)
    np.testing.assert_allclose(colorization.lab(images), rgb2lab((images.numpy() + 1) / 2), atol=0.1)


def test_grey_has_no_colour_and_keeps_the_lightness() -> None:
    """Photos of one lightness and any colour look the same to the backbone."""
    images = tf.constant([[[[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]]]])
    np.testing.assert_allclose(colorization.grey(images)[0, 0], [[1, 1, 1], [-1, -1, -1]], atol=1e-3)
    coloured = colorization.grey(noise(1, 4, 4, 3)).numpy()
    assert np.ptp(coloured, axis=-1).max() == 0


def test_colour_bins_tell_colours() -> None:
    """Grey is at a = b = 0; the red of sRGB at a 80, b 67, so bins (11 + 8, 11 + 6)."""
    images = tf.constant([[[[1.0, -1.0, -1.0]] * 4] * 4, [[[-1.0] * 3] * 4] * 4])
    bins = colorization.colour_bins(images, 2).numpy()
    assert bins.shape == (2, 2, 2)
    assert (bins[0] == 19 * 22 + 17).all()
    assert set(np.unique(bins[1] // 22)) <= {10, 11} and set(np.unique(bins[1] % 22)) <= {10, 11}


def test_rare_colours_weigh_more() -> None:
    """Three cells in four of bin 5: frequencies 3/4 and 1/4, each half mixed with 1/484."""
    weights = colorization.rarity(tf.constant([[[5, 5], [5, 7]]])).numpy()
    assert weights.mean() == pytest.approx(1)
    assert weights[0, 1, 1] / weights[0, 0, 0] == pytest.approx((0.75 + 1 / 484) / (0.25 + 1 / 484), rel=1e-4)


# --- simclr -----------------------------------------------------------------------------------------------------------


def test_nt_xent_by_hand() -> None:
    """Two images whose views agree perfectly and are orthogonal to the other's: e^2 / (e^2 + 2)."""
    projections = tf.constant([[3.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 5.0]])
    figures = simclr.nt_xent(projections)
    assert float(figures["pretext_loss"]) == pytest.approx(-np.log(np.exp(2) / (np.exp(2) + 2)), abs=1e-5)
    assert float(figures["pretext_accuracy"]) == 1


def test_crops_of_views_are_parts_of_the_image() -> None:
    """Of an image whose channels are row and column: sizes as drawn, flipped for half the draws."""
    images = tf.repeat(tf.concat([places(32), places(32)[..., :1]], axis=-1), 64, axis=0)
    draws = tf.unstack(tf.constant(NUMBERS.uniform(size=(4, 64)), tf.float32))
    views = simclr.cropped(images, draws).numpy()
    height, width = np.ptp(views[:, :, 0, 0], axis=1) / 31, np.ptp(views[:, 0, :, 1], axis=1) / 31
    area = (height * width).astype(float)
    assert 0.15 < area.min() < 0.35 and area.max() > 0.8 and views.min() >= 0 and views.max() <= 31
    flipped = views[:, 0, 0, 1] > views[:, 0, -1, 1]
    np.testing.assert_array_equal(flipped, draws[3].numpy() < 0.5)


def test_colours_of_views_change_as_drawn() -> None:
    images = noise(1, 8, 8, 3) * 0.3
    middle, never = [tf.constant([0.5])] * 4, tf.constant([0.99])
    always = tf.constant([0.0])
    np.testing.assert_allclose(simclr.recoloured(images, [*middle, never, never]), images, atol=1e-5)
    np.testing.assert_allclose(simclr.recoloured(images, [*middle, always, never]), images, atol=1e-4)
    grey = simclr.recoloured(images, [*middle, never, always]).numpy()
    assert np.ptp(grey, axis=-1).max() < 1e-5 and grey.std() > 0.05
    bright = [tf.constant([1.0]), *middle[1:], always, never]
    np.testing.assert_allclose((simclr.recoloured(images, bright) + 1) / (images + 1), 1.4, rtol=1e-3)
    for which in (1, 2, 3):  # contrast, saturation, hue
        draws = list(middle)
        draws[which] = tf.constant([1.0])
        changed = simclr.recoloured(images, [*draws, always, never]).numpy()
        luma = [np.tensordot(x, simclr.YIQ[0], 1) for x in (changed, images.numpy())]
        assert np.abs(changed - images).max() > 0.01
        if which == 1:
            assert luma[0].std() / luma[1].std() == pytest.approx(1.4, rel=0.01)
        else:  # neither saturation nor hue touches the brightness
            np.testing.assert_allclose(luma[0], luma[1], atol=1e-4)


# --- kmeans -----------------------------------------------------------------------------------------------------------


def test_patches_for_kmeans_are_laid_out_as_a_kernel() -> None:
    """The product of a patch with a flat kernel must be what the convolution gives."""
    images = NUMBERS.uniform(size=(1, 5, 5, 3)).astype(np.float32)
    kernel = NUMBERS.uniform(size=(5, 5, 3, 2)).astype(np.float32)
    patch = kmeans.random_patches(images, 5, seed=0)[0]
    expected = tf.nn.conv2d(images, kernel, 1, "VALID")[0, 0, 0]
    np.testing.assert_allclose(patch @ kernel.reshape(-1, 2), expected, rtol=1e-5)


def test_kmeans_filters_find_what_patches_are_made_of() -> None:
    """Patches of two kinds in many dimensions: each filter answers one kind more than the other."""
    kinds = NUMBERS.integers(0, 2, 400)
    patterns = NUMBERS.normal(size=(2, 12)) * 3
    patches = (patterns[kinds] + NUMBERS.normal(size=(400, 12))).astype(np.float32)
    answers = (patches - patches.mean(axis=0)) @ kmeans.kmeans_filters(patches, 2, seed=0)
    agree = (answers.argmax(axis=1) == kinds).mean()
    assert max(agree, 1 - agree) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "response"])
def test_fitted_layers_have_unit_variance_before_their_relu(norm) -> None:
    """After a ReLU of mean 0 and variance 1 about half is positive and the mean square about one half, in any layer."""
    config = preset("tiny").replace(**{"network.width": 0.125, "network.trunk_norm": norm})
    source = load("photos", image_size=32, config=config.data)
    backbone = build_discriminator(config).backbone
    before = backbone.convs[0].kernel.numpy()
    used, seconds = kmeans.initialise(backbone, source, seed=0)
    assert used == 256 and seconds > 0 and np.abs(backbone.convs[0].kernel.numpy() - before).max() > 0
    maps = backbone(next(iter(source.unlabelled(256, seed=0))))
    for values in maps.values():
        channels = tf.reduce_mean(tf.square(values), axis=(0, 1, 2)).numpy()  # of (x, 0) max: between 0 and 1
        assert 0.02 < channels.min() and channels.max() < 1
        assert 0.1 < float(tf.reduce_mean(tf.cast(values > 0, tf.float32))) < 0.8
