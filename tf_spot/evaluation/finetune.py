"""Training with labels from a backbone: what its features are worth as a start, beside random weights."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from tf_spot.config import FinetuneConfig
from tf_spot.data import Source
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import beside_random, start_of
from tf_spot.evaluation.fit_classifier import fit_classifier, share_correct
from tf_spot.evaluation.probes.examples import require_labelled_test
from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.models.backbones import Backbone
from tf_spot.progress import Progress
from tf_spot.storage.files import write_file

Recipe = FinetuneConfig


def finetune(
    backbone: Backbone,
    source: Source,
    recipe: Recipe,
    cache: ResultCache,
    *,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a classifier from the backbone and one from random weights in the same way; test each once.

    Args:
        backbone: a spotter's.
        source: with labels and a test split.
        recipe: of both.
        cache: keeps what is finished; the classifier of the backbone lies there as `spot.keras`.
        seed: see `fit_classifier`; also of the random weights.
        on_progress: called with (done, total, text).

    Returns:
        the metrics of a result file that follow from the training; `value` is the test accuracy in percent.

    Raises:
        UserError: no labels, no test split, or too few photos.
    """
    require_labelled_test(source)
    if not source.class_names:
        raise UserError(f"a classifier needs the names of its classes; received {source.spec}, which has none")
    names, progress = source.class_names, WorkProgress(on_progress, rounds=2)
    read = functools.cache(lambda: LabelledPhotos.of(source))  # only where a training is not finished yet

    def train_and_test(method: str) -> dict[str, Any]:
        photos = read()
        progress.begin(f"finetuning from {method}")
        start = start_of(method, backbone, seed)
        classifier, spent = fit_classifier(start, photos, names, recipe, seed=seed, on_share=progress.share_done)
        if method == "spot":
            write_file(cache.path / "spot.keras", classifier.save)
        share, count = share_correct(classifier, source.labelled("test", recipe.batch_size))
        return spent | {"share": share, "train_images": len(photos), "test_images": count}

    both = beside_random(cache, progress, train_and_test, lambda method, found: _metrics(method, source, found))
    return both | {"seed": seed, "recipe": asdict(recipe)}


def _metrics(method: str, source: Source, found: Mapping[str, Any]) -> dict[str, Any]:
    share = found["share"]
    value = round(100 * share, 2)
    return {
        "task": "finetune", "method": method, "data": source.name, "metric": "accuracy", "unit": "percent",
        "value": value, "by_layer": {"finetuned": value},
        "stderr": round(100 * float(np.sqrt(share * (1 - share) / found["test_images"])), 2),  # binomial
    } | {name: value for name, value in found.items() if name != "share"}  # fmt: skip
