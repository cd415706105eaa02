"""Probes on every layer at once: the training set is read once to fit, then the test set once to score."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from tf_spot.errors import UserError
from tf_spot.evaluation.probes import knn
from tf_spot.evaluation.probes import ridge as linear
from tf_spot.evaluation.probes import softmax_sgd as sgd
from tf_spot.evaluation.probes.examples import Examples
from tf_spot.features.pooling import Extractor, Pooling, pooled
from tf_spot.features.prefetch import ahead
from tf_spot.progress import Progress

SOLVERS = ("ridge", "sgd")  # of the linear probe
LAYERS_AT_ONCE = 5  # at most; each needs memory of its own


class LayerScore(NamedTuple):
    """What a probe found on one layer."""

    accuracy: float  # share of the test examples, in [0, 1]
    chosen: float  # strength, or number of neighbours
    num_values: int  # of a feature vector


class Work:
    """How far a probe is: tells `on_progress` after every part of it. The unit is reading one image."""

    def __init__(self, on_progress: Progress | None, total: int) -> None:
        self.on_progress, self.total, self.done, self.text = on_progress, total, 0.0, "probing"

    @staticmethod
    def needed(examples: Examples) -> int:
        """Reading both sets; solving takes about as long as reading the training set."""
        return 2 * len(examples.train_classes) + len(examples.test_classes)

    def advance(self, amount: float) -> None:
        self.done += amount
        if self.on_progress is not None:
            self.on_progress(round(self.done), self.total, self.text)


Fit = Callable[[Extractor, list[str] | None, Examples, Pooling, Work], dict[str, LayerScore]]


def linear_probe(
    backbone: Extractor,
    train_ds: Any,
    test_ds: Any,
    layers: Iterable[str] | None = None,
    *,
    num_values: int = 9_000,
    pooling: str = "average",
    solver: str = "ridge",
    epochs: int | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """How well a linear classifier on each frozen layer tells the classes apart.

    By default ridge regression on standardised, pooled features; its strength is chosen on a fifth of the training
    labels, then it is fitted to all of them and meets the test set once. The other solver has nothing to choose and
    needs room in the temporary folder for the training features.

    Args:
        backbone: images to {layer: map (batch, h, w, channels)}; a spotter's `backbone`, or any function. Inside the
            scope of a strategy with several replicas these share every batch; see `strategies.share_rows`.
        train_ds, test_ds: datasets of (images, labels): float32 (batch, height, width, 3) in [-1, 1] and whole numbers
            (batch,), in the same order each time they are read.
        layers: which ones; all by default.
        num_values: about how many values of a map are kept.
        pooling: `average` or `max`.
        solver: `ridge`, or `sgd`: softmax trained by the follow-up code's schedule, see `sgd`.
        epochs: of `sgd`.
        seed: draws the held-out fifth, or the order of `sgd`.
        on_progress: told `(done, total, text)`.

    Returns:
        `value` (best layer's test accuracy in percent), `best_layer`, `stderr` (of `value`, binomial), `by_layer`,
        `chosen` (strength by layer, as a share of the Gram matrix's mean diagonal; of `sgd` its weight decay),
        `num_values` (by layer),
        `train_images`, `test_images`.

    Raises:
        UserError: labels that cannot be probed, an unknown layer or solver, or features that are not finite.

    Source: paper, Tables 4 and 5.
    Deviation: by default ridge regression in closed form, where this line of work trains softmax by SGD: it is faster
    and has no schedule to choose.
    """
    fit = linear_fit(solver, epochs)
    return _probe(fit, backbone, train_ds, test_ds, layers, Pooling(num_values, pooling), seed, on_progress)


def linear_fit(solver: str, epochs: int | None = None) -> Fit:
    """What `solver` names, see `linear_probe`.

    Raises:
        UserError: an unknown solver, epochs below 1, or any of `ridge`, which has none.
    """
    if solver not in SOLVERS:
        raise UserError(f"--solver must be {' or '.join(SOLVERS)}; received: {solver}")
    if epochs is not None and epochs < 1:
        raise UserError(f"--epochs must be 1 or more; received: {epochs}")
    if solver == "sgd":
        return functools.partial(fit_sgd, epochs=sgd.EPOCHS if epochs is None else epochs)
    if epochs is not None:
        raise UserError("--solver ridge is a closed form without epochs: leave out --epochs, or add --solver sgd")
    return fit_linear


def knn_probe(
    backbone: Extractor,
    train_ds: Any,
    test_ds: Any,
    layers: Iterable[str] | None = None,
    *,
    num_values: int = 9_000,
    pooling: str = "average",
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """How often the nearest training examples of a test example, by each frozen layer, vote for its class.

    Cosine of standardised, pooled features, votes weighted with exp(cosine / 0.07); the number of neighbours is chosen
    on a fifth of the training labels. Needs room in the temporary folder for the training features.

    Args, Returns, Raises: as `linear_probe`; `chosen` is the number of neighbours.

    Source: Wu et al., CVPR 2018.
    """
    return _probe(fit_knn, backbone, train_ds, test_ds, layers, Pooling(num_values, pooling), seed, on_progress)


def _probe(
    fit: Fit,
    extract: Extractor,
    train_ds: Any,
    test_ds: Any,
    layers: Iterable[str] | None,
    pooling: Pooling,
    seed: int,
    on_progress: Progress | None,
) -> dict[str, Any]:
    examples = Examples(train_ds, test_ds, seed)
    names = None if layers is None else list(layers)
    scores = fit(extract, names, examples, pooling, Work(on_progress, Work.needed(examples)))
    return summary(scores, len(examples.test_classes)) | examples.sizes


def summary(scores: dict[str, LayerScore], test_images: int) -> dict[str, Any]:
    """Scores as figures for a result file: accuracies in percent, to two decimals."""
    best = max(scores, key=lambda name: scores[name].accuracy)
    share = scores[best].accuracy
    return {
        "value": round(100 * share, 2),
        "best_layer": best,
        "stderr": round(100 * float(np.sqrt(share * (1 - share) / test_images)), 2),
        "by_layer": {name: round(100 * score.accuracy, 2) for name, score in scores.items()},
        "chosen": {name: score.chosen for name, score in scores.items()},
        "num_values": {name: score.num_values for name, score in scores.items()},
    }


def fit_linear(
    extract: Extractor, layers: list[str] | None, examples: Examples, pooling: Pooling, work: Work
) -> dict[str, LayerScore]:
    """Fits, chooses and scores one linear classifier a layer."""
    vectors_of = pooled(extract, pooling, layers)
    sums: dict[str, linear.RidgeSums] = {}
    held_out: dict[str, list[np.ndarray]] = {}
    with threadpool_limits(_calm_threads()):
        for vectors, rows in _read(vectors_of, examples, "train", work):
            held = examples.held_out[rows]
            for name, values in vectors.items():
                held_out.setdefault(name, []).append(values[held])
                sums.setdefault(name, linear.RidgeSums(examples.num_classes))
                sums[name].add(values[~held], examples.train_classes[rows][~held])
        names = list(sums)
        solved: dict[str, tuple[float, linear.Classifier]] = {}
        for name in names:
            solved[name] = _solve(sums.pop(name), np.concatenate(held_out.pop(name)), examples)
            work.advance(len(examples.train_classes) / len(names))
        right = dict.fromkeys(names, 0)
        for vectors, rows in _read(vectors_of, examples, "test", work):
            for name, values in vectors.items():
                right[name] += solved[name][1].correct(values, examples.test_classes[rows])
    return {
        name: LayerScore(right[name] / len(examples.test_classes), strength, len(classifier.mean))
        for name, (strength, classifier) in solved.items()
    }


def _solve(sums: linear.RidgeSums, held_out: np.ndarray, examples: Examples) -> tuple[float, linear.Classifier]:
    """Chooses the strength on the held-out features, then fits to all."""
    classes = examples.train_classes[examples.held_out]
    strength = linear.choose_strength(sums, held_out, classes)
    sums.add(held_out, classes)
    return strength, sums.solve(strength)


def fit_sgd(
    extract: Extractor, layers: list[str] | None, examples: Examples, pooling: Pooling, work: Work, *, epochs: int
) -> dict[str, LayerScore]:
    """Writes the training features into a file a layer, trains one classifier a layer and scores it."""
    vectors_of, count = pooled(extract, pooling, layers), len(examples.train_classes)
    files: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory(prefix="tf_spot-sgd-") as folder:
        for vectors, rows in _read(vectors_of, examples, "train", work):
            for name, values in vectors.items():
                if name not in files:
                    files[name] = sgd.feature_file(Path(folder) / f"{len(files)}.f32", count, values.shape[1])
                files[name][rows] = values
        after = functools.partial(work.advance, count / len(files) / epochs)
        solved = {
            name: sgd.fit_softmax(
                file, examples.train_classes, examples.num_classes, epochs=epochs, seed=examples.seed, tell=after
            )
            for name, file in files.items()
        }
    right = dict.fromkeys(solved, 0)
    for vectors, rows in _read(vectors_of, examples, "test", work):
        for name, values in vectors.items():
            right[name] += solved[name].correct(values, examples.test_classes[rows])
    return {
        name: LayerScore(right[name] / len(examples.test_classes), sgd.DECAY, len(classifier.mean))
        for name, classifier in solved.items()
    }


def fit_knn(
    extract: Extractor, layers: list[str] | None, examples: Examples, pooling: Pooling, work: Work
) -> dict[str, LayerScore]:
    """Fills one bank a layer, chooses its number of neighbours and scores it."""
    vectors_of, classes = pooled(extract, pooling, layers), examples.train_classes
    banks: dict[str, knn.Bank] = {}
    with tempfile.TemporaryDirectory(prefix="tf_spot-knn-") as folder, _side_by_side() as each:
        for vectors, rows in _read(vectors_of, examples, "train", work):
            for name, values in vectors.items():
                if name not in banks:
                    banks[name] = knn.Bank(Path(folder) / f"{len(banks)}.f32", classes, values.shape[1])
                banks[name].rows[rows] = values

        def choose(bank: knn.Bank) -> int:
            bank.prepare()
            work.advance(len(classes) / len(banks))
            return bank.choose_neighbours(examples.held_out)

        chosen = each(choose, banks.values())
        right = np.zeros(len(banks), int)
        for vectors, rows in _read(vectors_of, examples, "test", work):
            asked = repeat(examples.test_classes[rows])
            right += each(knn.Bank.correct, banks.values(), vectors.values(), asked, chosen)
        return {
            name: LayerScore(float(count) / len(examples.test_classes), neighbours, bank.rows.shape[1])
            for (name, bank), count, neighbours in zip(banks.items(), right, chosen, strict=True)
        }


def _read(
    vectors_of: Callable[[Any], dict[str, np.ndarray]], examples: Examples, split: str, work: Work
) -> Iterator[tuple[dict[str, np.ndarray], slice]]:
    """Pooled features of a whole split, batch by batch, with the rows they are."""
    for vectors, rows in ahead(vectors_of, examples.batches(split)):
        yield vectors, rows
        work.advance(rows.stop - rows.start)


def _calm_threads() -> int:
    """Threads for one matrix product or factorisation.

    They wait for each other, so when another program has a core, all are slowed, up to tenfold: half are left free.
    """
    return max(1, (os.cpu_count() or 1) // 2)


@contextmanager
def _side_by_side() -> Iterator[Callable[..., list[Any]]]:
    """A `map` over layers, each on a core of its own, as NumPy's products allow."""
    cores = os.cpu_count() or 1
    workers = min(cores, LAYERS_AT_ONCE)
    with threadpool_limits(max(1, cores // workers)), ThreadPoolExecutor(workers) as pool:
        yield lambda function, *arguments: list(pool.map(function, *arguments))
