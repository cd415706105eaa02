"""Fitting a probe on every layer at once: the training set is read once to fit, then the test set once to score."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from tf_spot.evaluation.probes import knn
from tf_spot.evaluation.probes import softmax_sgd as sgd
from tf_spot.evaluation.probes.examples import Examples
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.features import ridge as linear
from tf_spot.features.pooling import Extractor, Pooling, pooled
from tf_spot.features.prefetch import ahead

LAYERS_AT_ONCE = 5  # at most; each needs memory of its own


class LayerScore(NamedTuple):
    """The result of a probe on one layer."""

    accuracy: float  # share of the test examples, in [0, 1]
    chosen: float  # strength, or number of neighbours
    num_values: int  # of a feature vector
    held_out: float | None = None  # share of the held-out training examples, in [0, 1]; None where none are held out


Fit = Callable[[Extractor, list[str] | None, Examples, Pooling, WorkProgress], dict[str, LayerScore]]


def work_needed(examples: Examples) -> int:
    """Return the work of one probe; the unit is reading one image.

    Both sets are read, and solving takes about as long as reading the training set.
    """
    return 2 * len(examples.train_classes) + len(examples.test_classes)


def fit_linear(
    extract: Extractor, layers: list[str] | None, examples: Examples, pooling: Pooling, work: WorkProgress
) -> dict[str, LayerScore]:
    """Fit one ridge regression per layer, its strength chosen on the held-out part, and score it."""
    vectors_of = pooled(extract, pooling, layers)
    sums: dict[str, linear.RidgeSums] = {}
    held_out: dict[str, list[np.ndarray]] = {}  # (held out of a batch, values) each
    with threadpool_limits(_calm_threads()):
        for vectors, rows in _read(vectors_of, examples, "train", work):
            held = examples.held_out[rows]  # bool (batch,)
            for name, values in vectors.items():
                held_out.setdefault(name, []).append(values[held])
                sums.setdefault(name, linear.RidgeSums(examples.num_classes))
                sums[name].add(values[~held], examples.train_classes[rows][~held])
        names = list(sums)
        solved: dict[str, tuple[float, float, linear.Classifier]] = {}
        for name in names:
            # `pop` frees a layer's matrix before the next one is solved.
            solved[name] = _solve(sums.pop(name), np.concatenate(held_out.pop(name)), examples)
            work.advance(len(examples.train_classes) / len(names))
        classifiers = {name: classifier for name, (_, _, classifier) in solved.items()}
        accuracy = _accuracy(vectors_of, classifiers, examples, work)
    return {
        name: LayerScore(accuracy[name], strength, len(classifier.mean), share)
        for name, (strength, share, classifier) in solved.items()
    }


def _solve(sums: linear.RidgeSums, held_out: np.ndarray, examples: Examples) -> tuple[float, float, linear.Classifier]:
    """Choose the strength on the held-out features, then fit to all; return it, the share it gets right, the fit."""
    classes = examples.train_classes[examples.held_out]
    strength, right = linear.choose_strength(sums, held_out, classes)
    sums.add(held_out, classes)
    return strength, right / len(classes), sums.solve(strength)


def fit_sgd(
    extract: Extractor,
    layers: list[str] | None,
    examples: Examples,
    pooling: Pooling,
    work: WorkProgress,
    *,
    epochs: int,
) -> dict[str, LayerScore]:
    """Write the training features into one file per layer, train one softmax classifier per layer and score it."""
    vectors_of, count = pooled(extract, pooling, layers), len(examples.train_classes)
    files: dict[str, np.ndarray] = {}  # (examples, values) each
    with tempfile.TemporaryDirectory(prefix="tf_spot-sgd-") as folder:
        for vectors, rows in _read(vectors_of, examples, "train", work):
            for name, values in vectors.items():
                if name not in files:
                    files[name] = sgd.feature_file(Path(folder) / f"{len(files)}.f32", count, values.shape[1])
                files[name][rows] = values
        after_epoch = functools.partial(work.advance, count / len(files) / epochs)
        solved = {
            name: sgd.fit_softmax(
                file,
                examples.train_classes,
                examples.num_classes,
                epochs=epochs,
                seed=examples.seed,
                after_epoch=after_epoch,
            )
            for name, file in files.items()
        }
    accuracy = _accuracy(vectors_of, solved, examples, work)
    return {name: LayerScore(accuracy[name], sgd.DECAY, len(classifier.mean)) for name, classifier in solved.items()}


def fit_knn(
    extract: Extractor, layers: list[str] | None, examples: Examples, pooling: Pooling, work: WorkProgress
) -> dict[str, LayerScore]:
    """Fill one bank of training features per layer, choose its number of neighbours and score it."""
    vectors_of, classes = pooled(extract, pooling, layers), examples.train_classes
    banks: dict[str, knn.Bank] = {}
    with tempfile.TemporaryDirectory(prefix="tf_spot-knn-") as folder, _side_by_side() as each:
        for vectors, rows in _read(vectors_of, examples, "train", work):
            for name, values in vectors.items():
                if name not in banks:
                    banks[name] = knn.Bank(Path(folder) / f"{len(banks)}.f32", classes, values.shape[1])
                banks[name].rows[rows] = values

        def choose(bank: knn.Bank) -> tuple[int, int]:
            bank.prepare()
            work.advance(len(classes) / len(banks))
            return bank.choose_neighbours(examples.held_out)

        chosen, held_out = zip(*each(choose, banks.values()), strict=True)
        shares = [right / np.count_nonzero(examples.held_out) for right in held_out]
        right = np.zeros(len(banks), int)
        for vectors, rows in _read(vectors_of, examples, "test", work):
            answers = repeat(examples.test_classes[rows])
            right += each(knn.Bank.correct, banks.values(), vectors.values(), answers, chosen)
        return {
            name: LayerScore(float(count) / len(examples.test_classes), neighbours, bank.rows.shape[1], share)
            for (name, bank), count, neighbours, share in zip(banks.items(), right, chosen, shares, strict=True)
        }


def _accuracy(
    vectors_of: Callable[[tf.Tensor], dict[str, np.ndarray]],
    classifiers: dict[str, linear.Classifier],
    examples: Examples,
    work: WorkProgress,
) -> dict[str, float]:
    """Read the test set once and return the share that each layer's classifier gets right."""
    right = dict.fromkeys(classifiers, 0)
    for vectors, rows in _read(vectors_of, examples, "test", work):
        for name, values in vectors.items():
            right[name] += classifiers[name].correct(values, examples.test_classes[rows])
    return {name: count / len(examples.test_classes) for name, count in right.items()}


def _read(
    vectors_of: Callable[[tf.Tensor], dict[str, np.ndarray]], examples: Examples, split: str, work: WorkProgress
) -> Iterator[tuple[dict[str, np.ndarray], slice]]:
    """Yield the pooled features of a whole split, float32 (batch, values) by layer, with the rows they are."""
    for vectors, rows in ahead(vectors_of, examples.batches(split)):
        yield vectors, rows
        work.advance(rows.stop - rows.start)


def _calm_threads() -> int:
    """Return the number of threads for one matrix product or factorisation.

    They wait for each other, so when another program has a core, all are slowed, up to tenfold: half are left free.
    """
    return max(1, (os.cpu_count() or 1) // 2)


@contextmanager
def _side_by_side() -> Iterator[Callable[..., list[Any]]]:
    """Give a `map` over layers, each on a core of its own, as NumPy's products allow."""
    cores = os.cpu_count() or 1
    workers = min(cores, LAYERS_AT_ONCE)
    with threadpool_limits(max(1, cores // workers)), ThreadPoolExecutor(workers) as pool:
        yield lambda function, *arguments: list(pool.map(function, *arguments))
