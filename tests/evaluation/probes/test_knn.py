"""The nearest-neighbour probe's bank and vote."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from tf_spot.errors import UserError
from tf_spot.evaluation.probes import knn
from tf_spot.evaluation.probes.knn import Bank, vote


def filled(path: Path, features: np.ndarray, classes: np.ndarray) -> Bank:
    bank = Bank(path / "bank.f32", classes, features.shape[1])
    bank.rows[:] = features
    bank.prepare()
    return bank


@pytest.fixture
def points() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, 200)
    features = random.normal(size=(3, 8))[classes] + 5 * random.normal(size=(200, 8))
    features = (features * random.uniform(0.1, 10, 8) + 20).astype(np.float32)
    return features[:150], classes[:150], features[150:], classes[150:]


def test_vote_weighs_by_closeness() -> None:
    cosines = np.float32([[0.9, 0.5, 0.5], [0.5, 0.5, 0.5]])
    classes = np.array([[2, 0, 0], [2, 0, 0]])
    # exp(0.9 / 0.07) is 303 times exp(0.5 / 0.07): one near neighbour outvotes two far ones, not two as near.
    assert vote(cosines, classes, 3).tolist() == [2, 0]


def test_agrees_with_scikit_learn(tmp_path: Path, points: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    features, classes, queries, answers = points
    monkeypatch.setattr(knn, "CHUNK", 16)  # several chunks, the last one partial
    scaler = StandardScaler().fit(features)
    reference = KNeighborsClassifier(
        10, metric="cosine", algorithm="brute", weights=lambda distances: np.exp(-distances / knn.TEMPERATURE)
    ).fit(scaler.transform(features), classes)
    expected = np.count_nonzero(reference.predict(scaler.transform(queries)) == answers)
    assert filled(tmp_path, features, classes).correct(queries, answers, 10) == expected


def test_neighbours_come_nearest_first_from_voters_alone(tmp_path: Path) -> None:
    features = np.float32([[1, 0], [0, 1], [-1, 0], [0, -1]])  # standardising keeps these directions
    bank = filled(tmp_path, features, np.array([0, 1, 0, 1]))
    query = np.float32([[0.8, 0.6]])
    everyone = np.ones(4, bool)
    cosines, rows = bank._nearest(query, 3, everyone)
    assert rows.tolist() == [[0, 1, 3]]
    np.testing.assert_allclose(cosines, [[0.8, 0.6, -0.6]], atol=1e-6)
    assert bank._nearest(query, 2, everyone & [False, True, True, True])[1].tolist() == [[1, 3]]


def test_chosen_number_of_neighbours_is_the_best_for_the_held_out(
    tmp_path: Path, points: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knn, "TEMPERATURE", 1e3)  # a plain majority, so that the number matters in a set this small
    monkeypatch.setattr(knn, "QUERIES", 8)
    features, classes, _, _ = points
    bank = filled(tmp_path, features, classes)
    held_out = np.arange(150) % 5 == 0
    reference = {}
    for count in knn.NEIGHBOURS:
        model = KNeighborsClassifier(count, metric="cosine", algorithm="brute")
        model.fit(bank.rows[~held_out], classes[~held_out])
        reference[count] = np.count_nonzero(model.predict(bank.rows[held_out]) == classes[held_out])
    assert len(set(reference.values())) > 1, reference  # there is something to choose
    chosen, right = bank.choose_neighbours(held_out)
    assert reference[chosen] == max(reference.values())
    assert abs(right - reference[chosen]) <= 1  # the nearer of two equal parties wins here, the first one there


def test_few_examples_leave_out_numbers_that_exceed_them(tmp_path: Path) -> None:
    features, classes = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32), np.arange(10) % 2
    assert filled(tmp_path, features, classes).choose_neighbours(np.arange(10) < 2)[0] == 5


def test_constant_values_and_all_equal_rows_are_no_trouble(tmp_path: Path) -> None:
    bank = filled(tmp_path, np.full((10, 3), 7.7, np.float32), np.arange(10) % 2)
    assert np.all(bank.rows == 0)
    assert bank.correct(np.full((2, 3), 7.7, np.float32), np.array([0, 1]), 10) == 1


def test_says_so_when_the_disk_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=399))
    Bank(tmp_path / "fits.f32", np.zeros(10, int), 9)
    with pytest.raises(UserError, match="set TMPDIR"):
        Bank(tmp_path / "too-large.f32", np.zeros(10, int), 10)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve blocks")
def test_a_bank_takes_its_room_at_once(tmp_path: Path) -> None:
    Bank(tmp_path / "x", np.zeros(1_000, int), 50)
    assert (tmp_path / "x").stat().st_blocks * 512 >= 200_000
