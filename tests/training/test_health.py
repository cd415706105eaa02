"""Health signals against hand-made games and features."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tf_spot.training import health


def stub_spotter(mask_logits=None):
    """Calls an image real when its mean is above 0; "repairs" by negating; keeps the cells that are above 0."""

    def discriminator(images):
        mean = tf.reduce_mean(images, axis=(1, 2, 3))
        answers = {"realness_logits": tf.stack([-mean, mean], axis=1)}
        if mask_logits is not None:
            answers["mask_logits"] = mask_logits(images)
        return answers

    def corrupt(images, step):
        keep_mask = tf.cast(images[..., :1] > 0, tf.float32)
        return SimpleNamespace(decoded=images, repaired=-images, keep_mask=keep_mask)

    return SimpleNamespace(
        discriminator=discriminator, corrupt=corrupt, real=lambda images, corrupted: corrupted.decoded
    )


def photos(*means):
    return tf.data.Dataset.from_tensor_slices(
        np.array(means, np.float32)[:, None, None, None] * np.ones((2, 2, 3), "f")
    )


def test_accuracy_is_told_for_each_half():
    signals = health.game_signals(stub_spotter(), photos(0.5, 0.5, 0.5, -0.5).batch(3))
    assert signals == {"held_out_decoded_accuracy": 0.75, "held_out_repaired_accuracy": 0.75}
    spotter = stub_spotter()
    spotter.real = lambda images, corrupted: abs(images)
    signals = health.game_signals(spotter, photos(0.5, 0.5, 0.5, -0.5).batch(3))
    assert signals["held_out_decoded_accuracy"] == 1.0 and signals["held_out_repaired_accuracy"] == 0.75


def test_mask_auc_asks_the_mask_head_about_repaired_images():
    """Repaired images are the negatives, so a head that answers with minus its input knows the mask perfectly."""
    batches = photos(0.5, -0.5, 0.2).batch(2)
    knows = health.game_signals(stub_spotter(lambda images: -images[..., :1]), batches)
    reversed_ = health.game_signals(stub_spotter(lambda images: images[..., :1]), batches)
    assert knows["held_out_mask_auc"] == 1.0 and reversed_["held_out_mask_auc"] == 0.0


def test_auc_by_hand():
    """Positives 3 and 1 against negatives 2 and 1: won, won, lost, tied."""
    assert health.auc(np.array([True, True, False, False]), np.array([3.0, 1.0, 2.0, 1.0])) == 2.5 / 4
    assert health.auc(np.array([True, True]), np.array([3.0, 1.0])) is None


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_effective_rank_counts_directions_that_vary_alike(rank):
    """Plus and minus one along each of `rank` axes: `rank` equal singular values. A shift of all changes nothing."""
    corners = np.concatenate([np.eye(4)[:rank], -np.eye(4)[:rank]]) + 7.0
    signals = health.feature_signals(corners.astype(np.float32))
    assert signals["effective_rank"] == pytest.approx(rank, rel=1e-4)  # float32 rounding
    one_column = math.sqrt(2 / (2 * rank))  # two of the 2 * rank rows are +-1
    assert signals["feature_std"] == pytest.approx(one_column * rank / 4, rel=1e-4)


def test_collapsed_features_have_no_rank_and_no_spread():
    assert health.feature_signals(np.full((5, 3), 2.0, np.float32)) == {"feature_std": 0.0, "effective_rank": 0.0}


def test_features_are_the_mean_of_conv5_over_the_map_with_labels_in_order():
    spotter = SimpleNamespace(backbone=lambda images: {"conv5": tf.concat([images, images + 1], axis=-1)})
    images = np.arange(3 * 2 * 2, dtype=np.float32).reshape(3, 2, 2, 1)
    dataset = tf.data.Dataset.from_tensor_slices((images, np.array([4, 5, 6], np.int32))).batch(2)
    features, labels = health.pooled_features(spotter, dataset)
    np.testing.assert_allclose(features, [[1.5, 2.5], [5.5, 6.5], [9.5, 10.5]])
    assert labels.tolist() == [4, 5, 6]


def test_knn_goes_by_angle_and_leaves_the_photo_itself_out(monkeypatch):
    monkeypatch.setattr(health, "NEIGHBOURS", 1)
    features = np.array([[1, 0], [9, 0.1], [0, 1], [0.1, 9], [1, 1.2]], np.float32)
    assert health.knn_accuracy(features, np.array([0, 0, 1, 1, 1])) == 1.0  # by distance the first and third would pair
    assert health.knn_accuracy(features, np.array([0, 1, 2, 3, 4])) == 0.0  # each finding itself would score 1
    assert health.knn_accuracy(features, np.array([0, 0, 1, 1, 0])) == 4 / 5


def test_knn_falls_back_to_labelled_photos_when_held_out_ones_have_no_label():
    def source(label):
        return SimpleNamespace(
            held_out_labelled=lambda b: tf.data.Dataset.from_tensors((0.0, label)).batch(b),
            labelled=lambda split, b: tf.data.Dataset.from_tensors((1.0, 3)).batch(b),
        )

    assert [int(label[0]) for _, label in health.knn_photos(source(-1))] == [3]
    assert [int(label[0]) for _, label in health.knn_photos(source(2))] == [2]


def test_signals_join_the_logs_probes_only_every_so_many_epochs():
    spotter = stub_spotter()
    spotter.backbone = lambda images: {"conv5": images}
    source = SimpleNamespace(held_out=lambda b: photos(0.5, -0.5, 0.1).batch(b), has_labels=False)
    callback = health.HealthSignals(SimpleNamespace(every=lambda n: epoch % n == 0), source, probe_every=2)
    callback.set_model(spotter)
    logs = []
    for epoch in (1, 2):  # noqa: B007, read by `every`
        logs.append({"loss": 1.0})
        callback.on_epoch_end(epoch, logs[-1])
    assert set(logs[0]) == {"loss", "held_out_decoded_accuracy", "held_out_repaired_accuracy"}
    assert set(logs[1]) - set(logs[0]) == {"feature_std", "effective_rank", "probe_seconds"}


def clusters(count, classes=3, channels=4):
    """Features of photos in the order of their classes, which a linear classifier tells apart, and the classes."""
    labels = np.repeat(np.arange(classes), count)
    noise = np.random.default_rng(0).normal(scale=0.1, size=(len(labels), channels))
    return (np.eye(channels)[labels] + noise).astype(np.float32), labels


def test_the_linear_probe_finds_classes_that_lie_apart():
    features, labels = clusters(20)
    assert health.linear_accuracy(features, labels) == 1.0


def test_the_linear_probe_never_tests_photos_that_it_was_fitted_to():
    """A channel for each photo would give its label away, were it among those fitted; labels drawn at random."""
    labels = np.random.default_rng(1).integers(0, 2, 60)
    assert health.linear_accuracy(np.eye(60, dtype=np.float32), labels) < 0.75


def test_the_linear_probe_is_a_cross_validation_of_ridge_regressions(monkeypatch):
    """As scikit-learn's on the same folds, at one strength: the penalty is a share of the 72 photos of four folds."""
    monkeypatch.setattr(health, "choose_strength", lambda sums, features, classes: (0.1, 0))
    features, labels = clusters(30)
    features[:, :3] += np.random.default_rng(2).normal(size=(90, 3))
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=0.1 * 72))
    scores = cross_val_score(model, features, labels, cv=PredefinedSplit(np.arange(90) % 5))
    assert health.linear_accuracy(features, labels) == pytest.approx(scores.mean())
    assert 0.4 < scores.mean() < 0.9


def test_two_photos_are_too_few_for_a_linear_probe():
    assert health.linear_accuracy(np.eye(2, dtype=np.float32), np.array([0, 1])) is None
    assert health.linear_accuracy(np.eye(3, dtype=np.float32), np.array([0, 1, 0])) is not None


@pytest.mark.parametrize("linear", [True, False])
def test_the_linear_probe_is_of_the_photos_of_knn_and_can_be_left_out(linear):
    images = np.repeat([0.5, -0.5], 10).astype(np.float32)[:, None, None, None] * np.ones((2, 2, 3), "f")
    labels = np.repeat([0, 1], 10).astype(np.int32)
    labelled = tf.data.Dataset.from_tensor_slices((images, labels))
    source = SimpleNamespace(
        held_out=lambda b: tf.data.Dataset.from_tensor_slices(images).batch(b),
        held_out_labelled=lambda b: labelled.batch(b),
        has_labels=True,
    )
    spotter = stub_spotter()
    spotter.backbone = lambda images: {"conv5": images}
    callback = health.HealthSignals(SimpleNamespace(every=lambda n: True), source, 1, linear)
    callback.set_model(spotter)
    logs, before = {}, np.random.get_state()[1].tolist()
    callback.on_epoch_end(0, logs)
    assert "knn_accuracy" in logs and logs["probe_seconds"] > 0
    assert logs.get("linear_accuracy") == (1.0 if linear else None)
    assert np.random.get_state()[1].tolist() == before


def test_a_signal_that_cannot_be_measured_is_left_out():
    """No cell is dropped, so the mask has no area under a curve; callbacks that follow never meet None."""
    callback = health.HealthSignals(
        SimpleNamespace(every=lambda n: False),
        SimpleNamespace(held_out=lambda b: photos(0.5, 0.1).batch(b), has_labels=False),
        probe_every=2,
    )
    callback.set_model(stub_spotter(lambda images: images[..., :1]))
    logs = {}
    callback.on_epoch_end(0, logs)
    assert set(logs) == {"held_out_decoded_accuracy", "held_out_repaired_accuracy"}


def test_held_out_reconstruction_is_a_mean_over_photos_not_over_batches():
    source = SimpleNamespace(held_out=lambda b: photos(*[1.0] * 64, 0.0).batch(b))
    callback = health.HeldOutReconstruction(source)
    callback.set_model(lambda images: tf.zeros_like(images))
    logs = {}
    callback.on_epoch_end(0, logs)
    assert logs["held_out_reconstruction_loss"] == pytest.approx(64 / 65)


def test_the_quality_of_copies_joins_the_logs_of_stage_1():
    """Copies at half the contrast of noise: a quarter of the energy, and an error that is half the image."""
    images = np.random.default_rng(0).choice([-1.0, 1.0], (4, 8, 8, 3)).astype(np.float32)
    callback = health.HeldOutReconstruction(
        SimpleNamespace(held_out=lambda b: tf.data.Dataset.from_tensor_slices(images).batch(b))
    )
    callback.set_model(lambda images: images / 2)
    logs = {}
    callback.on_epoch_end(0, logs)
    assert logs["held_out_psnr"] == pytest.approx(10 * math.log10(4 / 0.25))
    assert logs["held_out_laplacian_share"] == pytest.approx(0.25)
