"""Nearest neighbours by cosine among vectors that fit into memory; exact."""

from __future__ import annotations

import numpy as np


def nearest_neighbours(
    queries: np.ndarray, vectors: np.ndarray, count: int, excluded: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the vectors of largest cosine with each query.

    Args:
        queries: float (queries, dim), of any length.
        vectors: float (photos, dim), of any length.
        count: neighbours of each query, at most the vectors that are not excluded.
        excluded: bool (queries, photos): vectors that are no neighbours of a query, such as itself.

    Returns:
        cosines float (queries, count) and indices in `vectors` int64 (queries, count), nearest first; of equally near
        ones the smallest index first.
    """
    cosines = _directions(queries) @ _directions(vectors).T  # (queries, photos)
    if excluded is not None:
        cosines[excluded] = -np.inf
    indices = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(cosines, indices, axis=1), indices


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Return `vectors` (rows, dim) scaled to length 1; a zero vector stays zero."""
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit
