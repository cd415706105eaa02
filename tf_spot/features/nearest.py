"""Nearest neighbours by cosine among vectors that fit into memory; exact."""

from __future__ import annotations

import importlib.util

import numpy as np

FAISS_FROM = 100_000  # vectors; with fewer, NumPy's table of all cosines is small and fast enough


def nearest_neighbours(
    queries: np.ndarray, vectors: np.ndarray, count: int, excluded: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the vectors of largest cosine with each query.

    From `FAISS_FROM` vectors on FAISS searches them, if it is installed: in float32, on all cores, without a table of
    all cosines.

    Args:
        queries: float (queries, dim), of any length.
        vectors: float (photos, dim), of any length.
        count: neighbours of each query, at most the vectors that are not excluded.
        excluded: bool (queries, photos): vectors that are no neighbours of a query, such as itself.

    Returns:
        cosines float (queries, count) and indices in `vectors` int64 (queries, count), nearest first; of equally near
        ones the smallest index first.
    """
    if len(vectors) >= FAISS_FROM and importlib.util.find_spec("faiss") is not None:
        return _by_faiss(queries, vectors, count, excluded)
    cosines = _directions(queries) @ _directions(vectors).T  # (queries, photos)
    if excluded is not None:
        cosines[excluded] = -np.inf
    indices = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(cosines, indices, axis=1), indices


def _by_faiss(
    queries: np.ndarray, vectors: np.ndarray, count: int, excluded: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Like `nearest_neighbours`; of equally near vectors at the end any may be left out."""
    import faiss

    most = 0 if excluded is None else int(excluded.sum(axis=1).max())  # found too and left out below
    asked, among = (np.ascontiguousarray(_directions(values), np.float32) for values in (queries, vectors))
    cosines, indices = faiss.knn(asked, among, min(count + most, len(vectors)), metric=faiss.METRIC_INNER_PRODUCT)
    if excluded is not None:
        cosines[np.take_along_axis(excluded, indices, axis=1)] = -np.inf
    order = np.lexsort((indices, -cosines))[:, :count]  # by cosine, then by index
    return np.take_along_axis(cosines, order, axis=1), np.take_along_axis(indices, order, axis=1)


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Return `vectors` (rows, dim) scaled to length 1; a zero vector stays zero."""
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
