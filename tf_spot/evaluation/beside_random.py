"""A training from the backbone beside the same training from random weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras

from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.models.backbones import Backbone

METHODS = ("spot", "random")  # the learned backbone, and its control


def untrained(backbone: Backbone, seed: int) -> Backbone:
    """Return the backbone's architecture at random weights; sets Keras' global seed."""
    keras.utils.set_random_seed(seed)
    return backbone.__class__.from_config(backbone.get_config())


def copied(backbone: Backbone) -> Backbone:
    """Return another backbone with the same weights."""
    copy = backbone.__class__.from_config(backbone.get_config())
    copy.set_weights(backbone.get_weights())
    return copy


def start_of(method: str, backbone: Backbone, seed: int) -> Backbone:
    """Return what a training by one of `METHODS` starts from, to be changed freely: weights learned or random."""
    return copied(backbone) if method == "spot" else untrained(backbone, seed)


def beside_random(
    cache: ResultCache,
    progress: WorkProgress,
    train_and_test: Callable[[str], Mapping[str, Any]],
    metrics: Callable[[str, dict[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """Return the metrics of the backbone, with those of random weights under the key `rivals`.

    Args:
        cache: keeps what `train_and_test` gave.
        progress: of two rounds.
        train_and_test: begins its round of progress; takes one of `METHODS`.
        metrics: makes those of a result file from the method and what `train_and_test` gave.
    """
    results = {}
    for method in METHODS:
        results[method] = metrics(method, cache(method, functools.partial(train_and_test, method)))
        progress.end()
    return results["spot"] | {"rivals": {"random": results["random"]}}
