"""The authors' own protocol: a linear layer on the frozen conv5, and all convolutions finetuned below large layers.

Every setting is fixed beforehand, so no label chooses an epoch: the weights after the last one are tested, once.

Source: authors' code, fine_tune_stl10.py, which trains on all 5,000 labels of STL-10. Which labels the paper's Tables 1
and 2 used is not known; `folds` takes STL-10's official ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.config import LAYERS, TransferConfig
from tf_spot.data import Source
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import METHODS, copied, start_of
from tf_spot.evaluation.fit_classifier import OnShare, fit_silently, share_correct
from tf_spot.evaluation.judgement import binomial_error
from tf_spot.evaluation.probes.examples import require_labelled_test
from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.evaluation.stl10 import check_complete
from tf_spot.evaluation.stl10_files import check_folds
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.models.backbones import Backbone
from tf_spot.models.classifier import Classifier
from tf_spot.models.losses import weight_penalty
from tf_spot.ops.hardware import form
from tf_spot.progress import Progress

BATCH = 256  # photos at a time in the test
FROZEN, FINETUNED = LAYERS[-1], "finetuned"  # the two trainings, as `by_layer` names them


def transfer(
    backbone: Backbone,
    source: Source,
    recipe: TransferConfig,
    cache: ResultCache,
    *,
    folds: bool = False,
    finetuned: bool = True,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train classifiers from the backbone and from random weights in the same way; test each once.

    Args:
        backbone: a spotter's.
        source: with labels and a test split.
        recipe: of all trainings.
        cache: keeps the result of each training.
        folds: train on each of the source's folds instead of on all training labels.
        finetuned: also train all convolutions, below two large layers.
        seed: of the heads, the order, the augmentation and the random weights; of fold i it is `seed` + i.
        on_progress: called with (done, total, text).

    Returns:
        the metrics of a result file: in `by_layer` the accuracy of the linear layer on the frozen `conv5`, which is
        `value`, and that of `finetuned`; with folds their means, with `deviation` and `folds`. `recipe` has all
        settings.

    Raises:
        UserError: no labels, no test split, no classes' names, or no folds where they are asked for.
    """
    require_labelled_test(source)
    if not source.class_names:
        raise UserError(f"a classifier needs the names of its classes; received {source.spec}, which has none")
    parts: Sequence[np.ndarray | None] = check_folds(source.folds()) if folds else [None]
    trained = {FROZEN: 0, FINETUNED: len(LAYERS)} if finetuned else {FROZEN: 0}
    progress = WorkProgress(on_progress, rounds=len(METHODS) * len(trained) * len(parts))

    @functools.cache
    def read() -> LabelledPhotos:  # only where a training is not finished yet
        photos = LabelledPhotos.of(source)
        if folds:  # their indices count every photo
            check_complete(source, "train", len(photos))
        return photos

    def train_and_test(method: str, name: str, index: int) -> dict[str, Any]:
        progress.begin(f"transfer of {method}, {name}" + (f", fold {index + 1}" if folds else ""))
        photos, indices = read(), parts[index]
        classifier = train_classifier(
            start_of(method, backbone, seed + index),
            photos,
            source.class_names or [],
            recipe,
            trained_layers=trained[name],
            indices=indices,
            seed=seed + index,
            on_share=progress.share_done,
        )
        right, count = share_correct(classifier, source.labelled("test", BATCH))
        return {"share": right, "train_images": len(photos if indices is None else indices), "test_images": count}

    def results(method: str, name: str) -> list[dict[str, Any]]:
        found = []
        for index in range(len(parts)):
            found.append(cache(f"{method}-{name}-{index}", functools.partial(train_and_test, method, name, index)))
            progress.end()
        return found

    metrics = {method: _metrics(method, source, {name: results(method, name) for name in trained})
               for method in METHODS}  # fmt: skip
    return metrics["spot"] | {"seed": seed, "recipe": asdict(recipe)} | {"rivals": {"random": metrics["random"]}}


def train_classifier(
    start: Backbone,
    photos: LabelledPhotos,
    class_names: Sequence[str],
    recipe: TransferConfig,
    *,
    trained_layers: int,
    indices: np.ndarray | None = None,
    seed: int = 0,
    on_share: OnShare | None = None,
) -> Classifier:
    """Train a classifier from a backbone, which is left as it is.

    Batch norm follows the labelled photos in frozen layers too. Frozen convolutions cost their forward pass alone.

    Args:
        start: the backbone.
        photos: with their labels.
        class_names: one name per class.
        recipe: how.
        trained_layers: convolutions, from conv5 down. 0: a linear layer alone; else below two large layers.
        indices: int (n,), of the photos to use; all by default.
        seed: of the head, the order and the augmentation.
        on_share: called after every step.
    """
    count = len(photos) if indices is None else len(indices)
    batch_size = min(recipe.batch_size, count)
    steps = count // batch_size
    keras.utils.set_random_seed(seed)
    classifier = Classifier(
        copied(start),
        class_names,
        image_size=photos.image_size,
        norms="adapt",
        hidden_units=(recipe.hidden_units,) * 2 if trained_layers else (),
        dropout_rate=recipe.dropout_rate,
    )
    classifier.train_layers(trained_layers)
    optimizer = transfer_adam(recipe, recipe.epochs * steps)
    classifier.compile(optimizer, penalised_loss(classifier, recipe.weight_decay), jit_compile=form().jit_compile)
    batches = photos.stream(batch_size, seed=seed, indices=indices)
    fit_silently(classifier, batches, None, epochs=recipe.epochs, steps=steps, callbacks=[], on_share=on_share)
    return classifier


def transfer_adam(recipe: TransferConfig, steps: int) -> keras.optimizers.Adam:
    """Return the optimizer of a training of so many steps: its rate falls linearly, and stays at the end."""
    schedule = keras.optimizers.schedules.PolynomialDecay(
        recipe.learning_rate,
        decay_steps=max(1, round(recipe.decay_share * steps)),
        end_learning_rate=recipe.final_learning_rate_share * recipe.learning_rate,
    )
    return keras.optimizers.Adam(schedule, beta_1=recipe.adam_beta_1, epsilon=recipe.adam_epsilon)


def penalised_loss(classifier: Classifier, weight_decay: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the loss of labels (batch,) and logits (batch, classes): cross entropy, and a penalty on what is trained.

    Args:
        classifier: its trained kernels are penalised.
        weight_decay: times half their squared norm.
    """
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return cross_entropy(labels, logits) + weight_decay * weight_penalty(classifier.trainable_variables)

    return loss


def _metrics(method: str, source: Source, results: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    percent = {name: [round(100 * found["share"], 2) for found in of_parts] for name, of_parts in results.items()}
    counts = {name: results[FROZEN][0][name] for name in ("train_images", "test_images")}
    by_layer = {name: round(float(np.mean(values)), 2) for name, values in percent.items()}
    error = binomial_error(by_layer[FROZEN], counts["test_images"])
    metrics: dict[str, Any] = {
        "task": "transfer", "method": method, "data": source.name, "metric": "accuracy", "unit": "percent",
        "value": by_layer[FROZEN], "layer": FROZEN, "stderr": round(error, 2), "by_layer": by_layer,
    } | counts  # fmt: skip
    if len(percent[FROZEN]) == 1:
        return metrics
    deviation = {name: round(float(np.std(values, ddof=1)), 2) for name, values in percent.items()}
    spread = round(deviation[FROZEN] / float(np.sqrt(len(percent[FROZEN]))), 2)
    return metrics | {"deviation": deviation, "folds": percent, "stderr": spread}
