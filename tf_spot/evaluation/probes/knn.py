"""The nearest-neighbour probe: exact, with its features in a file.

Deviation: not scikit-learn's neighbours, which hold all features in memory; here memory does not grow with the number
of examples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tf_spot.storage.reserved_array import reserved_array

NEIGHBOURS = (5, 10, 20, 50)  # tried on the held-out part
TEMPERATURE = 0.07  # Wu et al., CVPR 2018
CHUNK = 4_096  # rows of the bank at a time
QUERIES = 256  # at a time


class Bank:
    """The training features of one layer, in a file.

    Fill `rows`, then call `prepare`.

    Args:
        path: a file to create.
        classes: of the rows, int (examples,), 0, 1, ...
        num_values: of a row.

    Attributes:
        rows: float32 (examples, values).

    Raises:
        NoSpace: the disk lacks space for the file.
    """

    def __init__(self, path: Path, classes: np.ndarray, num_values: int) -> None:
        shape = (len(classes), num_values)
        self.rows = reserved_array(path, shape, "task knn, for the features of one layer,", "lower num_values")
        self.classes, self.num_classes = classes, int(classes.max()) + 1
        self.mean = np.zeros(num_values, np.float32)
        self.inverse_std = np.ones(num_values, np.float32)

    def prepare(self) -> None:
        """Standardise each value over the rows and scale each row to length 1: products of rows are then cosines."""
        total, squares = np.zeros(self.rows.shape[1]), np.zeros(self.rows.shape[1])
        shift = np.array(self.rows[0])  # the sums then stay small next to the spread
        for chunk in self._chunks():
            shifted = self.rows[chunk] - shift
            total += shifted.sum(axis=0, dtype=np.float64)
            squares += np.square(shifted).sum(axis=0, dtype=np.float64)
        mean, second = total / len(self.rows), squares / len(self.rows)
        variance = second - mean**2
        varies = variance > 1e-6 * second  # what is left is rounding
        self.mean = shift + mean.astype(np.float32)
        self.inverse_std = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1)), 0).astype(np.float32)
        for chunk in self._chunks():
            self.rows[chunk] = self._directions(self.rows[chunk])

    def correct(self, features: np.ndarray, classes: np.ndarray, neighbours: int) -> int:
        """Count the features that are voted into their class.

        Args:
            features: float32 (queries, values), as they come from the layer.
            classes: int (queries,).
            neighbours: that vote.
        """
        found = self._nearest(self._directions(features), neighbours, np.ones(len(self.rows), bool))
        return self._right(found, classes, neighbours)

    def choose_neighbours(self, held_out: np.ndarray) -> tuple[int, int]:
        """Return the number of neighbours by which most held-out rows are voted right, and how many are.

        Of equal numbers the smallest is chosen.

        Args:
            held_out: bool (examples,); the other rows vote.
        """
        voters = ~held_out
        totals = {count: 0 for count in NEIGHBOURS if count <= np.count_nonzero(voters)}
        queries = np.flatnonzero(held_out)
        for start in range(0, len(queries), QUERIES):
            some = queries[start : start + QUERIES]
            found = self._nearest(self.rows[some], max(totals), voters)
            for count in totals:
                totals[count] += self._right(found, self.classes[some], count)
        chosen = max(totals, key=lambda count: (totals[count], -count))
        return chosen, totals[chosen]

    def _directions(self, features: np.ndarray) -> np.ndarray:
        """Return standardised features of length 1, (examples, values)."""
        standard = (features - self.mean) * self.inverse_std
        lengths = np.linalg.norm(standard, axis=1, keepdims=True)
        unit: np.ndarray = standard / np.maximum(lengths, 1e-12)
        return unit

    def _nearest(self, queries: np.ndarray, count: int, voters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return cosines and indices, (queries, count) each, of the rows nearest to each query, nearest first.

        Args:
            queries: directions (queries, values).
            count: at most the number of voters.
            voters: bool (examples,), the rows that may be found.
        """
        cosines = np.full((len(queries), count), -np.inf, np.float32)
        rows = np.zeros((len(queries), count), np.int64)
        for chunk in self._chunks():
            found = queries @ self.rows[chunk].T  # (queries, rows of the chunk)
            found[:, ~voters[chunk]] = -np.inf
            numbers = np.broadcast_to(np.arange(chunk.start, chunk.stop), found.shape)
            # The best of earlier chunks stay in the race: (queries, count + rows of the chunk).
            cosines, rows = np.concatenate([cosines, found], axis=1), np.concatenate([rows, numbers], axis=1)
            best = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
            cosines, rows = np.take_along_axis(cosines, best, axis=1), np.take_along_axis(rows, best, axis=1)
        order = np.argsort(-cosines, axis=1, kind="stable")
        return np.take_along_axis(cosines, order, axis=1), np.take_along_axis(rows, order, axis=1)

    def _right(self, found: tuple[np.ndarray, np.ndarray], classes: np.ndarray, count: int) -> int:
        cosines, rows = found
        voted = vote(cosines[:, :count], self.classes[rows[:, :count]], self.num_classes)
        return int(np.count_nonzero(voted == classes))

    def _chunks(self) -> list[slice]:
        count = len(self.rows)
        return [slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


def vote(cosines: np.ndarray, classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the class with the largest sum of exp(cosine / temperature) among each query's neighbours.

    Args:
        cosines: (queries, neighbours).
        classes: of those neighbours, (queries, neighbours).
        num_classes: classes are 0 ... num_classes - 1.

    Returns:
        int64 (queries,); of equals the smallest class.

    Source: Wu et al., "Unsupervised feature learning via non-parametric instance discrimination", CVPR 2018.
    """
    weights = np.exp((cosines - 1) / TEMPERATURE)  # a common factor, so that none exceeds 1
    totals = np.zeros((len(classes), num_classes))
    np.add.at(totals, (np.arange(len(classes))[:, None], classes), weights)
    winners: np.ndarray = totals.argmax(axis=1)
    return winners
