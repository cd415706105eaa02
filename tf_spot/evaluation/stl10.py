"""STL-10's own protocol: ten folds of few labels, each tested on the whole test set.

Source: https://cs.stanford.edu/~acoates/stl10; paper, Table 2. The published code trains on other parts of the labels
(4,000 per fold in one place, all 5,000 in another), so it is not known which ones the paper used; here the official
ones.
"""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tf_spot.config import LAYERS, FinetuneConfig
from tf_spot.data import Source
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import start_of
from tf_spot.evaluation.fit_classifier import OnShare, fit_classifier, share_correct
from tf_spot.evaluation.judgement import judged_layer
from tf_spot.evaluation.probes.examples import require_labelled_test
from tf_spot.evaluation.probes.few_labels import few_labels
from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.evaluation.stl10_files import FOLDS, check_folds
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.features.pooling import Pooling, pooled
from tf_spot.models.backbones import Backbone
from tf_spot.models.classifier import Classifier
from tf_spot.progress import Progress
from tf_spot.storage.reserved_array import reserved_array

BATCH = 256  # photos at a time
NUM_VALUES = 9_216  # all of conv5 at the paper's size: 6 x 6 x 256
SPLITS = ("train", "test")


def stl10(
    backbone: Backbone,
    source: Source,
    recipe: FinetuneConfig,
    cache: ResultCache,
    *,
    layers: Sequence[str] | None = None,
    finetuned: bool = True,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Fit every fold: a linear classifier on each frozen layer and, if wished, the whole network from the backbone.

    The linear classifier is a ridge regression, its strength chosen on a fifth of the fold's labels; conv5 is flattened
    whole where it has no more values than in the paper, the other layers are averaged down to about as many.

    Args:
        backbone: a spotter's.
        source: with folds, see `check_folds`.
        recipe: of the finetuned networks.
        cache: keeps the result of the frozen layers and of each finetuned fold.
        layers: frozen ones to classify on; all five by default.
        finetuned: also train the network, from the backbone and from random weights.
        seed: of everything drawn.
        on_progress: called with (done, total, text).

    Returns:
        the metrics of a result file: by layer (and `finetuned`) the mean over the folds in percent, `by_layer`, the
        sample deviation, `deviation`, and each fold's accuracy, `folds`; `value` is the mean of `layer`, see
        `judged_layer`.

    Raises:
        UserError: folds that do not fit, an unknown layer.
    """
    require_labelled_test(source)
    folds = check_folds(source.folds())
    chosen = list(LAYERS if layers is None else layers)
    if unknown := set(chosen) - set(LAYERS):
        raise UserError(f"unknown layer; allowed: {', '.join(LAYERS)}; received: {', '.join(sorted(unknown))}")
    progress = WorkProgress(on_progress, rounds=2 * (1 + (len(folds) if finetuned else 0)))
    networks = _FinetunedFolds(source, folds, recipe, seed)
    shares: dict[str, dict[str, list[float]]] = {"spot": {}, "random": {}}
    for method, by_layer in shares.items():
        start = start_of(method, backbone, seed)
        progress.begin(f"frozen layers of {method}")
        frozen = functools.partial(_frozen, start, source, folds, chosen, seed, progress.share_done)
        by_layer.update(cache(f"{method}-frozen", frozen))
        progress.end()
        if finetuned:
            by_layer["finetuned"] = networks.shares(method, start, cache, progress)
    counts = {"train_images": len(folds[0]), "test_images": source.count("test")}
    metrics = {method: _metrics(method, source, by_layer) | counts for method, by_layer in shares.items()}
    recorded = {"seed": seed, "recipe": asdict(recipe) if finetuned else None}
    return metrics["spot"] | recorded | {"rivals": {"random": metrics["random"]}}


# --- frozen layers ----------------------------------------------------------------------------------------------------


def _frozen(
    backbone: Backbone,
    source: Source,
    folds: Sequence[np.ndarray],
    layers: Sequence[str],
    seed: int,
    on_share: OnShare,
) -> dict[str, list[float]]:
    """Return, by layer, the share of the test set that each fold's classifier gets right."""
    with tempfile.TemporaryDirectory(prefix="tf_spot-stl10-") as folder:
        features, classes = _features(backbone, source, layers, Path(folder), lambda share: on_share(0.5 * share))
        shares: dict[str, list[float]] = {layer: [] for layer in layers}
        for done, (layer, fold) in enumerate(itertools.product(layers, folds), start=1):
            with threadpool_limits(1):  # several threads wait for each other where another program has a core
                classifier = few_labels(features["train", layer][fold], classes["train"][fold], seed)
                right = classifier.correct(features["test", layer], classes["test"])
            shares[layer].append(right / len(classes["test"]))
            on_share(0.5 + 0.5 * done / (len(layers) * len(folds)))
    return shares


def _features(
    backbone: Backbone, source: Source, layers: Sequence[str], folder: Path, on_share: OnShare
) -> tuple[dict[tuple[str, str], np.ndarray], dict[str, np.ndarray]]:
    """Return the features float32 (photos, values) by split and layer, and the classes int64 (photos,) by split.

    The features lie in files of `folder`, so that memory does not grow with the number of layers.
    """
    vectors_of, done = pooled(backbone, Pooling(NUM_VALUES, "average"), list(layers)), 0
    counts = {split: source.count(split) for split in SPLITS}
    features: dict[tuple[str, str], np.ndarray] = {}
    classes = {split: np.zeros(count, np.int64) for split, count in counts.items()}
    for split, count in counts.items():
        start = 0
        for images, labels in source.labelled(split, BATCH):
            rows = slice(start, start + len(labels))
            for layer, values in vectors_of(images).items():
                if (split, layer) not in features:
                    file, what = folder / f"{split}-{layer}.f32", f"task stl10, for the features of {layer},"
                    features[split, layer] = reserved_array(
                        file, (count, values.shape[1]), what, "probe fewer --layers"
                    )
                features[split, layer][rows] = values
            classes[split][rows] = labels
            start, done = rows.stop, done + len(labels)
            on_share(done / sum(counts.values()))
        check_complete(source, split, start)
    return features, classes


# --- whole networks ---------------------------------------------------------------------------------------------------


class _FinetunedFolds:
    """One network per fold. The photos are read once, and one compiled classifier serves all folds of a method."""

    def __init__(self, source: Source, folds: Sequence[np.ndarray], recipe: FinetuneConfig, seed: int) -> None:
        self.source, self.folds, self.recipe, self.seed = source, folds, recipe, seed

    @functools.cached_property
    def photos(self) -> LabelledPhotos:
        """The training photos, read when the first fold is not finished yet."""
        photos = LabelledPhotos.of(self.source)
        check_complete(self.source, "train", len(photos))
        return photos

    def shares(self, method: str, start: Backbone, cache: ResultCache, progress: WorkProgress) -> list[float]:
        """Return the share of the test set that the network of each fold gets right."""
        compiled: list[Classifier] = []

        def train_and_test(index: int) -> float:
            progress.begin(f"finetuning from {method}, fold {index + 1}")
            classifier, _ = fit_classifier(
                start,
                self.photos,
                self.source.class_names or [],
                self.recipe,
                indices=self.folds[index],
                reuse=compiled[0] if compiled else None,
                seed=self.seed + index,
                on_share=progress.share_done,
            )
            compiled[:] = [classifier]
            return share_correct(classifier, self.source.labelled("test", BATCH))[0]

        shares = []
        for index in range(len(self.folds)):
            shares.append(cache(f"{method}-finetuned-{index}", functools.partial(train_and_test, index)))
            progress.end()
        return shares


# --- what both share --------------------------------------------------------------------------------------------------


def check_complete(source: Source, split: str, count: int) -> None:
    """Raise a `UserError` if fewer photos of a split were read than there are."""
    if count != source.count(split):
        raise UserError(
            f"the protocol counts every photo; received: {source.count(split) - count} of {split} that cannot be read, "
            f"the first is {source.bad_files[0]}"
        )


def _metrics(method: str, source: Source, shares: Mapping[str, Iterable[float]]) -> dict[str, Any]:
    percent = {name: [round(100 * share, 2) for share in values] for name, values in shares.items()}
    by_layer = {name: round(float(np.mean(values)), 2) for name, values in percent.items()}
    deviation = {name: round(float(np.std(values, ddof=1)), 2) for name, values in percent.items()}
    judged = judged_layer(by_layer)
    return {
        "task": "stl10", "method": method, "data": source.name, "metric": "accuracy", "unit": "percent",
        "value": by_layer[judged], "layer": judged, "by_layer": by_layer, "deviation": deviation, "folds": percent,
        "stderr": round(deviation[judged] / np.sqrt(FOLDS), 2),
    }  # fmt: skip
