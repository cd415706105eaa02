"""Nearest neighbours by cosine."""

from __future__ import annotations

import numpy as np
import pytest

from tf_spot.features import nearest
from tf_spot.features.nearest import nearest_neighbours


def test_neighbours_are_those_of_largest_cosine_whatever_their_length() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 5.0], [10.0, 10.0], [0.0, 0.0]])
    cosines, rows = nearest_neighbours(np.array([[2.0, 0.0], [0.1, 0.2]]), vectors, 2)
    assert rows.tolist() == [[0, 2], [2, 1]]
    np.testing.assert_allclose(cosines, [[1, 0.5**0.5], [0.3 / 0.05**0.5 / 2**0.5, 0.2 / 0.05**0.5]], rtol=1e-6)


def test_excluded_vectors_are_passed_over() -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 3))
    with_themselves = nearest_neighbours(vectors, vectors, 3)[1]
    others = nearest_neighbours(vectors, vectors, 3, np.eye(6, dtype=bool))[1]
    assert with_themselves[:, 0].tolist() == list(range(6))
    np.testing.assert_array_equal(others[:, :2], with_themselves[:, 1:])
    assert not (others == np.arange(6)[:, None]).any()


def test_the_same_as_a_well_kept_library() -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    random = np.random.default_rng(0)
    queries, vectors = random.normal(size=(5, 4)), random.normal(size=(40, 4))
    distances, rows = neighbors.NearestNeighbors(n_neighbors=7, metric="cosine").fit(vectors).kneighbors(queries)
    ours = nearest_neighbours(queries, vectors, 7)
    np.testing.assert_array_equal(ours[1], rows)
    np.testing.assert_allclose(ours[0], 1 - distances, atol=1e-12)


def test_faiss_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    queries, vectors = (random.normal(size=(count, 8)).astype(np.float32) for count in (6, 300))
    vectors[7] = 2 * vectors[3]  # equally near to everything
    queries[0] = vectors[3]
    excluded = random.random((6, 300)) < 0.1
    for left_out in (None, excluded):
        expected = nearest_neighbours(queries, vectors, 9, left_out)
        monkeypatch.setattr(nearest, "FAISS_FROM", 300)
        cosines, indices = nearest_neighbours(queries, vectors, 9, left_out)
        monkeypatch.undo()
        np.testing.assert_array_equal(indices, expected[1])
        np.testing.assert_allclose(cosines, expected[0], atol=1e-6)  # float32, added up in another order


def test_from_many_vectors_on_faiss_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss

    vectors, asked = np.eye(4, dtype=np.float32), []
    knn = faiss.knn
    monkeypatch.setattr(faiss, "knn", lambda *words, **named: asked.append(words) or knn(*words, **named))
    nearest_neighbours(vectors, vectors, 1)
    assert not asked
    monkeypatch.setattr(nearest, "FAISS_FROM", 4)
    assert nearest_neighbours(vectors, vectors, 1)[1].tolist() == [[0], [1], [2], [3]] and len(asked) == 1


def test_of_equals_the_first_comes_first() -> None:
    assert nearest_neighbours(np.ones((1, 2)), np.ones((4, 2)), 3)[1].tolist() == [[0, 1, 2]]
