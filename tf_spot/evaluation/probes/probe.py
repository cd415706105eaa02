"""Probes on frozen features: how well a simple classifier on each layer tells the classes apart."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from tf_spot.errors import UserError
from tf_spot.evaluation.judgement import binomial_error, judged_layer
from tf_spot.evaluation.probes import softmax_sgd as sgd
from tf_spot.evaluation.probes.examples import Examples, LabelledBatches
from tf_spot.evaluation.probes.fit import Fit, LayerScore, fit_knn, fit_linear, fit_sgd, work_needed
from tf_spot.evaluation.tasks import SOLVERS
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.features.pooling import Extractor, Pooling
from tf_spot.progress import Progress


def linear_probe(
    backbone: Extractor,
    train_ds: LabelledBatches,
    test_ds: LabelledBatches,
    layers: Iterable[str] | None = None,
    *,
    num_values: int = 9_000,
    pooling: str = "average",
    solver: str = "ridge",
    epochs: int | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure how well a linear classifier on each frozen layer tells the classes apart.

    By default ridge regression on standardised, pooled features; its strength is chosen on a fifth of the training
    labels, then it is fitted to all of them and tested once. The other solver has nothing to choose and needs room in
    the temporary folder for the training features.

    Args:
        backbone: images to {layer: map (batch, h, w, channels)}; a spotter's `backbone`, or any function. Inside the
            scope of a strategy with several replicas these share every batch; see `strategies.share_rows`.
        train_ds, test_ds: datasets of (images, labels): float32 (batch, height, width, 3) in [-1, 1] and whole numbers
            (batch,), in the same order each time they are read.
        layers: which ones; all by default.
        num_values: about how many values of a map are kept (paper: 9,000).
        pooling: `average` or `max`.
        solver: `ridge`, or `sgd`: softmax trained by the follow-up code's schedule, see `sgd`.
        epochs: of `sgd`.
        seed: draws the held-out fifth, or the order of `sgd`.
        on_progress: called with `(done, total, text)`; the unit is reading one image.

    Returns:
        see `summary`; `chosen` is the strength by layer, as a share of the Gram matrix's mean diagonal; of `sgd` its
        weight decay. Also `train_images`, `test_images`.

    Raises:
        UserError: labels that cannot be probed, an unknown layer or solver, or features that are not finite.

    Source: paper, Tables 4 and 5.
    Deviation: by default ridge regression in closed form, where this line of work trains softmax by SGD: it is faster
    and has no schedule to choose.
    """
    fit = linear_fit(solver, epochs)
    return _probe(fit, backbone, train_ds, test_ds, layers, Pooling(num_values, pooling), seed, on_progress)


def linear_fit(solver: str, epochs: int | None = None) -> Fit:
    """Return the function that fits linear probes by `solver`, see `linear_probe`.

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
    train_ds: LabelledBatches,
    test_ds: LabelledBatches,
    layers: Iterable[str] | None = None,
    *,
    num_values: int = 9_000,
    pooling: str = "average",
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure how often the nearest training examples of a test example, by each frozen layer, vote for its class.

    Cosine of standardised, pooled features, votes weighted with exp(cosine / 0.07); the number of neighbours is chosen
    on a fifth of the training labels. Needs room in the temporary folder for the training features.

    Args, Returns, Raises: as `linear_probe`; `chosen` is the number of neighbours.

    Source: Wu et al., CVPR 2018.
    """
    return _probe(fit_knn, backbone, train_ds, test_ds, layers, Pooling(num_values, pooling), seed, on_progress)


def _probe(
    fit: Fit,
    extract: Extractor,
    train_ds: LabelledBatches,
    test_ds: LabelledBatches,
    layers: Iterable[str] | None,
    pooling: Pooling,
    seed: int,
    on_progress: Progress | None,
) -> dict[str, Any]:
    examples = Examples(train_ds, test_ds, seed)
    names = None if layers is None else list(layers)
    work = WorkProgress(on_progress, 1, work_needed(examples))
    work.begin("probing")
    scores = fit(extract, names, examples, pooling, work)
    return summary(scores, len(examples.test_classes)) | examples.sizes


def summary(scores: dict[str, LayerScore], test_images: int) -> dict[str, Any]:
    """Return the scores of a probe as the metrics of a result file: accuracies in percent, to two decimals.

    No layer is chosen on the test examples: `value` is of the layer that the paper judges by.

    Args:
        scores: by layer.
        test_images: how many the accuracies are shares of, for the binomial standard error.

    Returns:
        `value` (test accuracy of `layer`), `layer` (see `judged_layer`), `stderr` (of `value`, binomial), `by_layer`
        (test accuracy), `chosen` and `num_values` (by layer). Where training examples are held out also `held_out`,
        their accuracy by layer, and `best_layer`, the best one by it.
    """
    judged = judged_layer(scores)
    value = round(100 * scores[judged].accuracy, 2)
    metrics = {
        "value": value,
        "layer": judged,
        "stderr": round(binomial_error(value, test_images), 2),
        "by_layer": {name: round(100 * score.accuracy, 2) for name, score in scores.items()},
        "chosen": {name: score.chosen for name, score in scores.items()},
        "num_values": {name: score.num_values for name, score in scores.items()},
    }
    held_out = {name: round(100 * score.held_out, 2) for name, score in scores.items() if score.held_out is not None}
    if held_out.keys() != scores.keys():  # the solver sgd holds nothing out
        return metrics
    return metrics | {"held_out": held_out, "best_layer": max(held_out, key=lambda name: held_out[name])}
