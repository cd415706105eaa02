"""Training a classifier with labels, the epoch chosen on labels that are held out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.config import FinetuneConfig
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import copied
from tf_spot.models.backbones import Backbone
from tf_spot.models.classifier import Classifier
from tf_spot.models.data_dependent_init import unit_variance
from tf_spot.ops.hardware import form

OnShare = Callable[[float], None]  # called with the share of a training that is done, such as `WorkProgress.share_done`


@dataclass(frozen=True)
class Goal:
    """What a training minimises, and what chooses its epoch."""

    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # of labels and logits, (batch,) or a scalar
    metrics: tuple[keras.metrics.Metric, ...]
    monitor: str  # name in the logs of an epoch
    mode: str  # of `monitor`: "max" or "min" is best


def one_class() -> Goal:
    """Return the goal for photos that are of one class each."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Goal(loss, (keras.metrics.SparseCategoricalAccuracy(name="accuracy"),), "val_accuracy", "max")


def fit_classifier(
    backbone: Backbone,
    photos: LabelledPhotos,
    class_names: Sequence[str],
    recipe: FinetuneConfig,
    *,
    goal: Goal | None = None,
    indices: np.ndarray | None = None,
    reuse: Classifier | None = None,
    seed: int = 0,
    on_share: OnShare | None = None,
) -> tuple[Classifier, dict[str, Any]]:
    """Train a classifier from a backbone, which is left as it is.

    Args:
        backbone: to start from.
        photos: with their labels.
        class_names: one name per class.
        recipe: how.
        goal: one class per photo by default.
        indices: int (n,), of the photos to use; all by default.
        reuse: a classifier from an earlier call with the same recipe, goal and number of photos: its compiled graph is
            used again, its weights are not.
        seed: of the head, the order, the augmentation and the held-out labels.
        on_share: called after every step.

    Returns:
        the classifier at its best epoch, and `epochs`, `best_epoch` (from 1), `held_out_score`, `held_out_images`.

    Raises:
        UserError: too few photos.
    """
    goal = goal or one_class()
    used = np.arange(len(photos)) if indices is None else np.asarray(indices)
    learned, held_out = _hold_out(used, recipe.held_out_every, seed, photos.name)
    batch_size = min(recipe.batch_size, len(learned))
    steps = len(learned) // batch_size
    classifier = _started(backbone, photos, class_names, recipe, learned, seed)
    if reuse is None:  # a new graph is traced, which takes longer than some folds' training
        classifier.compile(_adam(recipe, steps), goal.loss, metrics=list(goal.metrics), jit_compile=form().jit_compile)
    else:
        classifier = _restarted(reuse, classifier)
    best = keras.callbacks.EarlyStopping(
        goal.monitor, mode=goal.mode, patience=recipe.patience, restore_best_weights=True
    )
    epochs = fit_silently(
        classifier,
        photos.stream(batch_size, seed=seed, indices=learned),
        photos.centred(recipe.batch_size, held_out),
        epochs=recipe.epochs,
        steps=steps,
        callbacks=[best],
        on_share=on_share,
    )
    return classifier, {
        "epochs": epochs,
        "best_epoch": best.best_epoch + 1,
        "held_out_score": round(float(best.best), 4),
        "held_out_images": len(held_out),
    }


def _started(
    backbone: Backbone,
    photos: LabelledPhotos,
    class_names: Sequence[str],
    recipe: FinetuneConfig,
    learned: np.ndarray,
    seed: int,
) -> Classifier:
    """Return an untrained classifier on a copy of the backbone."""
    keras.utils.set_random_seed(seed)
    classifier = Classifier(copied(backbone), class_names, image_size=photos.image_size, norms=recipe.norms)
    classifier.train_layers(recipe.trained_layers)
    if recipe.rescale:
        unit_variance(classifier.backbone, next(iter(photos.centred(recipe.rescaled_to, learned)))[0])
    return classifier


def _restarted(compiled: Classifier, started: Classifier) -> Classifier:
    """Return a compiled classifier with the weights of another one and an optimizer as at first."""
    compiled.set_weights(started.get_weights())
    for variable in compiled.optimizer.variables:
        variable.assign(tf.zeros_like(variable))  # Adam's moments and its step
    return compiled


def _adam(recipe: FinetuneConfig, steps_per_epoch: int) -> keras.optimizers.Adam:
    return keras.optimizers.Adam(cosine(recipe, steps_per_epoch))


def cosine(recipe: FinetuneConfig, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the recipe's learning rate, which falls along half a cosine to zero."""
    return keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.epochs * steps_per_epoch)


def fit_silently(
    model: keras.Model,
    batches: tf.data.Dataset,
    held_out: tf.data.Dataset | None,
    *,
    epochs: int,
    steps: int,
    callbacks: Sequence[keras.callbacks.Callback],
    on_share: OnShare | None,
) -> int:
    """Train a model by `fit` without its own output; return the epochs done.

    Args:
        model: compiled.
        batches: endless.
        held_out: for the score of an epoch.
        epochs: at most.
        steps: per epoch.
        callbacks: of Keras.
        on_share: called after every step.
    """
    watching = list(callbacks)
    if on_share is not None:
        step = itertools.count(1)
        watching.insert(
            0,
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: on_share(next(step) / (epochs * steps))
            ),
        )
    history = model.fit(
        batches,
        epochs=epochs,
        steps_per_epoch=steps,
        validation_data=held_out,
        callbacks=watching,
        shuffle=False,
        verbose=0,
    )
    return len(history.epoch)


def _hold_out(indices: np.ndarray, every: int, seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices to learn from and those held out, each sorted: one in `every`, drawn by the seed."""
    if len(indices) < 2 * every:
        raise UserError(f"training with labels needs {2 * every} photos or more; received {len(indices)} from {name}")
    shuffled = np.random.default_rng(seed).permutation(indices)
    chosen = np.arange(len(indices)) % every == 0
    return np.sort(shuffled[~chosen]), np.sort(shuffled[chosen])


def share_correct(
    classifier: Classifier, batches: Iterable[tuple[np.ndarray | tf.Tensor, np.ndarray | tf.Tensor]]
) -> tuple[float, int]:
    """Return the share of the examples whose class has the highest logit, and how many examples there are.

    Args:
        classifier: of images.
        batches: images (batch, image_size, image_size, 3) in [-1, 1] and whole labels (batch,).

    Raises:
        UserError: an example without a label (-1), which no answer could match.
    """
    right = count = 0
    for images, labels in batches:
        if np.min(labels) < 0:
            raise UserError("test photos must have a label from 0; received: one with -1, none; leave such photos out")
        answers = np.argmax(classifier.predict_on_batch(images), axis=1)  # (batch,)
        right += int(np.count_nonzero(answers == np.asarray(labels)))
        count += len(answers)
    return right / count, count
