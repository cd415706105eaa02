"""The six transformations, and the precautions against telling them by local statistics."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.pretext_inputs import inputs_of
from tests.support.pretext_task import check_draws, learn, make, noise, one_step, pictures, positions
from tf_spot.baselines import lci
from tf_spot.baselines.patch_networks import PatchInpainter

NUMBERS = np.random.default_rng(0)
BATCH = 16


def examples(images: tf.Tensor) -> np.ndarray:
    """Return what the classifier sees of images, by class: (6, batch, crop, crop, 3)."""
    model = make("lci")
    seen = inputs_of(model.backbone, model, images).numpy()
    return seen.reshape(6, len(images), *seen.shape[1:])


def roughness(images: np.ndarray) -> float:
    """Return the mean squared difference of neighbouring pixels, which an interpolation lowers."""
    return float((np.diff(images, axis=-2) ** 2).mean() + (np.diff(images, axis=-3) ** 2).mean()) / 2


# --- sizes and parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "patch", "levels"), [(16, 8, 1), (32, 16, 2), (48, 24, 2), (64, 32, 3), (96, 56, 3)])
def test_sizes(size: int, patch: int, levels: int) -> None:
    assert lci.patch_size(size) == patch and lci.inpainter_levels(patch) == levels
    assert patch % 2**levels == 0 and patch < lci.crop_size(size) < size


def test_a_patch_is_pasted_where_it_was_cut() -> None:
    images = tf.repeat(tf.concat([positions(32), positions(32)[..., :1]], axis=-1), 3, axis=0)
    corners = tf.constant([[0, 0], [16, 16], [5, 9]])
    patches = -tf.stack([images[i, r : r + 16, c : c + 16] for i, (r, c) in enumerate(corners.numpy())])
    pasted = lci.pasted(images, patches, corners).numpy()
    for i, (row, column) in enumerate(corners.numpy()):
        expected = images[i].numpy()
        expected[row : row + 16, column : column + 16] *= -1
        np.testing.assert_allclose(pasted[i], expected, atol=1e-5)


def test_opposed_turns_the_gradient_round() -> None:
    x = tf.constant([2.0, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(tf.square(lci.opposed(x)))
    np.testing.assert_array_equal(tape.gradient(y, x), [-4, -6])
    assert float(y) == 13


def test_the_six_classes_are_the_six_transformations() -> None:
    """Of photos that are lighter below; black ones stand for those with an inpainted patch."""
    model = make("lci")
    images = tf.ones((BATCH, 32, 32, 3)) * tf.linspace(0.0, 1.0, 32)[:, None, None]
    photos = [images, -tf.ones_like(images), images]
    seen, classes = model.transformed(photos, 0)
    np.testing.assert_array_equal(classes, np.repeat(range(6), BATCH))
    seen = seen.numpy().mean(axis=-1).reshape(6, BATCH, 25, 25)
    down, right = np.diff(seen, axis=2).mean(axis=(1, 2, 3)), np.diff(seen, axis=3).mean(axis=(1, 2, 3))
    step = 1 / 31
    np.testing.assert_allclose(down[[0, 2, 4]], [step, -step, 0], atol=0.1 * step)
    np.testing.assert_allclose(right[[1, 3, 4]], [step, -step, 0], atol=0.1 * step)
    assert down[5] == pytest.approx(step, rel=0.3) and np.diff(seen[5], n=2, axis=1).std() > 5e-4


# --- precautions ------------------------------------------------------------------------------------------------------


def test_the_inpainter_sees_a_narrow_border_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the erasing, without which what it is given depends on the inside of the patch."""
    model, images = make("lci"), noise(NUMBERS, BATCH, 32, 32, 3)
    whole, erased = tf.split(inputs_of(model.inpainter, model, images), 2)
    assert lci.border_size(16) == 1 and lci.border_size(48) == 3
    same = np.isclose(whole, erased).all(axis=-1).mean(axis=0)
    expected = np.ones((16, 16))
    expected[1:-1, 1:-1] = 0
    np.testing.assert_array_equal(same, expected)
    inside = erased[:, 1:-1, 1:-1]
    assert float(tf.math.reduce_std(inside)) == pytest.approx(0.1, rel=0.05)
    monkeypatch.setattr(lci, "inside", lambda size: tf.zeros((1, size, size, 1)))
    whole, shown = tf.split(inputs_of(model.inpainter, model, images), 2)
    np.testing.assert_array_equal(whole, shown)


def test_half_of_the_photos_carry_the_traces_of_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the autoencoded patches, without which black patches are in inpainted photos only."""
    monkeypatch.setattr(PatchInpainter, "call", lambda self, patches, training=False: -tf.ones_like(patches))
    black = (examples(0.5 * tf.ones((BATCH, 32, 32, 3))) < 0).any(axis=(2, 3, 4))
    np.testing.assert_array_equal(black.sum(axis=1), [BATCH // 2] * 4 + [BATCH, 0])


def test_every_class_is_interpolated_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the crops between pixels, without which untransformed photos are sharper than warped ones."""
    model, images = make("lci"), noise(NUMBERS, 256, 32, 32, 3)
    of_class = lambda: [roughness(part.numpy()) for part in tf.split(model.transformed([images] * 3, 0)[0], 6)]  # noqa: E731
    alike = of_class()
    assert max(alike) / min(alike) < 1.2
    between = lci.crop_points
    monkeypatch.setattr(
        lci, "crop_points", lambda offsets, angles, size: between(tf.floor(offsets), tf.zeros_like(angles), size)
    )
    sharp = of_class()
    assert min(sharp[:5]) / sharp[5] > 1.5


def test_a_small_turn_is_no_sign_of_a_class() -> None:
    """Taken out: the tilts of the untransformed and inpainted photos. A tilted ramp varies along its rows too."""
    model = make("lci")
    ramp = tf.repeat(positions(32)[..., :1], 64, axis=0)
    seen, _ = model.transformed([tf.repeat(ramp, 3, axis=-1)] * 3, 0)
    tilted = np.ptp(seen.numpy()[..., 0], axis=2).max(axis=1).reshape(6, 64) > 0.01
    assert 0.3 < tilted[0].mean() < 0.7 and 0.3 < tilted[4].mean() < 0.7
    assert not (tilted[0] == tilted[4]).all()


def test_where_a_crop_lies_is_no_sign_of_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the draws of the crops. Of photos whose pixels are their positions, crops are anywhere within 7."""
    monkeypatch.setattr(lci, "TILTED_SHARE", 0.0)
    photos = tf.repeat(positions(32), 64, axis=0)
    seen, _ = make("lci").transformed([photos] * 3, 0)
    middles = seen.numpy()[:, 12, 12].reshape(6, 64, 2)[[0, 4, 5]]  # untransformed, inpainted, warped
    assert (middles.std(axis=1) > 1.5).all()
    assert (np.abs(middles[0] - middles[1]).max(axis=0) > 3).all(), "each class has draws of its own"


def test_the_inpainter_plays_against_the_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken out: the opposed gradient, without which the inpainter helps the classifier."""
    model, images = make("lci"), pictures(4)

    def gradients() -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            loss = model.task_metrics(images, None, 0, training=False)["pretext_loss"]
        return [g.numpy() for g in tape.gradient(loss, [model.inpainter.last.kernel, model.head.logits.kernel])]

    against, of_head = gradients()
    monkeypatch.setattr(lci, "opposed", tf.identity)
    along, the_same = gradients()
    assert np.abs(along).max() > 0
    np.testing.assert_allclose(against, -along, atol=1e-6)
    np.testing.assert_allclose(of_head, the_same, atol=1e-6)


def test_the_discriminator_sees_two_patches_of_a_kind() -> None:
    """Taken out: the pairs, without which fillings that are all alike pass as real."""
    model, images = make("lci"), noise(NUMBERS, 4, 32, 32, 3)
    pairs = inputs_of(model.discriminator, model, images)
    assert pairs.shape == (8, 16, 16, 6)
    real = pairs[:4].numpy()
    np.testing.assert_array_equal(real[..., 3:], np.roll(real[..., :3], 1, axis=0))


def test_the_game_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits 0.5 for real and -2 for fake; the border is missed by 0.1, its inside free, the copy exact."""
    model = make("lci")
    logits = lambda self, pairs, training=False: tf.constant([0.5, 0.5, -2.0, -2.0])  # noqa: E731
    monkeypatch.setattr(type(model.discriminator), "call", logits)
    patches = tf.zeros((2, 16, 16, 3))
    filled = 0.1 * (1 - lci.inside(16)) + 0.9 * lci.inside(16) + patches
    losses = model.game(patches, patches, filled, training=False)
    assert float(losses["inpainter_loss"]) == pytest.approx(50 * 0.01 + 2, rel=1e-4)
    assert float(losses["discriminator_loss"]) == pytest.approx(0.5 + 0)


# --- the whole --------------------------------------------------------------------------------------------------------


def test_an_lci_model_is_saved_and_loaded(tmp_path) -> None:
    model, images = make("lci"), pictures(4)
    one_step(model, images)
    model.save(tmp_path / "lci.keras")
    again = keras.saving.load_model(tmp_path / "lci.keras", compile=False)
    expected, loaded = (one.task_metrics(images, None, 0, training=False) for one in (model, again))
    for name in model.task_metric_names:
        assert float(loaded[name]) == pytest.approx(float(expected[name]), abs=1e-5)


@pytest.mark.slow
def test_lci_is_learnt() -> None:
    """Chance: 1/6 of the classes. The inpainter learns too: its loss counts the squared error 50 times."""
    metrics = learn(make("lci"), 80)
    assert metrics["pretext_accuracy"][1] > 0.5
    assert metrics["inpainter_loss"][1] < 0.5 * metrics["inpainter_loss"][0]


@pytest.mark.slow
def test_draws_are_functions_of_seed_and_step() -> None:
    check_draws("lci")
