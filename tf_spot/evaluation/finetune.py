"""Training with labels from a backbone: what its features are worth as a beginning, beside random weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_spot.config import LAYERS
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_controls import require_labelled_test
from tf_spot.evaluation.result_cache import Parts
from tf_spot.models.classifier import NORMS, Classifier
from tf_spot.models.data_dependent_init import unit_variance
from tf_spot.ops.cpu_features import JIT_COMPILE
from tf_spot.progress import Progress
from tf_spot.storage.files import write_file

Tell = Callable[[float], None]  # share of a training that is done
HELD_OUT_EVERY = 10  # one in so many training labels chooses the epoch
RESCALED_TO = 256  # images


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained. The paper gives none of these: the choices are ours.

    Adam, its rate falling along half a cosine; the epoch with the best score on the held-out labels is kept.
    """

    trained_layers: int = len(LAYERS)  # convolutions besides the head, from the top
    norms: str = "adapt"  # see `Classifier`
    rescale: bool = False  # every channel to mean 0 and variance 1 first, see `rescaling`
    learning_rate: float = 1e-3
    epochs: int = 12  # at most
    patience: int = 5  # epochs without a better score before the training ends
    batch_size: int = 32

    def __post_init__(self) -> None:
        if not 0 <= self.trained_layers <= len(LAYERS):
            raise UserError(
                f"--trained-layers must be from 0 (the head alone) to {len(LAYERS)}; received: {self.trained_layers}"
            )
        if self.norms not in NORMS:
            raise UserError(f"--norms must be {' or '.join(NORMS)}; received: {self.norms}")
        if self.epochs < 1 or not 0 < self.learning_rate < 1:
            raise UserError(
                "--epochs must be 1 or more and --learning-rate between 0 and 1; received: "
                f"{self.epochs}, {self.learning_rate}"
            )


@dataclass(frozen=True)
class Goal:
    """What a training makes small, and what chooses its epoch."""

    loss: Any
    metrics: tuple[Any, ...]
    monitor: str
    mode: str


def one_class() -> Goal:
    """Every photo is of one class."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return Goal(loss, (keras.metrics.SparseCategoricalAccuracy(name="accuracy"),), "val_accuracy", "max")


def untrained(backbone: keras.Model, seed: int) -> Any:
    """The backbone's architecture at random weights."""
    keras.utils.set_random_seed(seed)
    return backbone.__class__.from_config(backbone.get_config())


def copied(backbone: keras.Model) -> Any:
    """A backbone of its own, with the same weights."""
    copy = backbone.__class__.from_config(backbone.get_config())
    copy.set_weights(backbone.get_weights())
    return copy


def fit_classifier(
    backbone: keras.Model,
    photos: LabelledPhotos,
    class_names: list[str],
    recipe: Recipe,
    *,
    goal: Goal | None = None,
    places: np.ndarray | None = None,
    again: Classifier | None = None,
    seed: int = 0,
    tell: Tell | None = None,
) -> tuple[Classifier, dict[str, Any]]:
    """Trains a classifier from a backbone, which is left as it is.

    Args:
        backbone: to begin from.
        photos: with their labels.
        class_names: one name a class.
        recipe: how.
        goal: one class a photo by default.
        places: of the photos to use; all by default.
        again: a classifier that an earlier call gave for the same recipe, goal and number of photos: it is trained
            anew, which saves the time of tracing another one.
        seed: of the head, the order, the variations and the held-out part.
        tell: told the share that is done.

    Returns:
        the classifier at its best epoch, and `epochs`, `best_epoch` (from 1), `held_out_score`, `held_out_images`.

    Raises:
        UserError: too few photos.
    """
    goal = goal or one_class()
    learnt, held_out = _halves(np.arange(len(photos)) if places is None else np.asarray(places), seed, photos.name)
    keras.utils.set_random_seed(seed)
    classifier = Classifier(copied(backbone), class_names, image_size=photos.image_size, norms=recipe.norms)
    classifier.train_layers(recipe.trained_layers)
    if recipe.rescale:
        unit_variance(classifier.backbone, next(iter(photos.centred(RESCALED_TO, learnt)))[0])
    batch_size = min(recipe.batch_size, len(learnt))
    steps = len(learnt) // batch_size
    rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.epochs * steps)
    if again is None:
        classifier.compile(keras.optimizers.Adam(rate), goal.loss, metrics=list(goal.metrics), jit_compile=JIT_COMPILE)
    else:
        again.set_weights(classifier.get_weights())
        for variable in again.optimizer.variables:
            variable.assign(tf.zeros_like(variable))  # as Adam's are at first
        classifier = again
    best = keras.callbacks.EarlyStopping(
        goal.monitor, mode=goal.mode, patience=recipe.patience, restore_best_weights=True
    )
    done = fit_quietly(
        classifier,
        photos.stream(batch_size, seed=seed, indices=learnt),
        photos.centred(recipe.batch_size, held_out),
        epochs=recipe.epochs,
        steps=steps,
        callbacks=[best],
        tell=tell,
    )
    return classifier, {
        "epochs": done,
        "best_epoch": best.best_epoch + 1,
        "held_out_score": round(float(best.best), 4),
        "held_out_images": len(held_out),
    }


def fit_quietly(
    model: Any, batches: Any, held_out: Any, *, epochs: int, steps: int, callbacks: list[Any], tell: Tell | None
) -> int:
    """`fit` that tells how far it is; returns the epochs done."""
    told = keras.callbacks.LambdaCallback()
    if tell is not None:
        told = _Tell(tell, epochs * steps)
    history = model.fit(
        batches,
        epochs=epochs,
        steps_per_epoch=steps,
        validation_data=held_out,
        callbacks=[told, *callbacks],
        shuffle=False,
        verbose=0,
    )
    return len(history.epoch)


class _Tell(keras.callbacks.Callback):
    def __init__(self, tell: Tell, steps: int) -> None:
        super().__init__()
        self.tell, self.steps, self.done = tell, steps, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.done += 1
        self.tell(self.done / self.steps)


def _halves(places: np.ndarray, seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Learnt from, and held out."""
    if len(places) < 2 * HELD_OUT_EVERY:
        raise UserError(
            f"training with labels needs {2 * HELD_OUT_EVERY} photos or more; received {len(places)} from {name}"
        )
    shuffled = np.random.default_rng(seed).permutation(places)
    chosen = np.arange(len(places)) % HELD_OUT_EVERY == 0
    return np.sort(shuffled[~chosen]), np.sort(shuffled[chosen])


def share_right(classifier: Classifier, batches: Any) -> tuple[float, int]:
    """Share of the examples whose class has the highest logit, and how many examples there are."""
    right = count = 0
    for images, labels in batches:
        found = np.argmax(classifier.predict_on_batch(images), axis=1)
        right, count = right + int(np.count_nonzero(found == np.asarray(labels))), count + len(found)
    return right / count, count


class Stretch:
    """Progress of several trainings of equal length, told to one on_progress."""

    def __init__(self, on_progress: Progress | None, count: int, size: int = 1_000) -> None:
        self.on_progress, self.count, self.size, self.done, self.text = on_progress, count, size, 0, ""

    def begin(self, text: str) -> Tell:
        self.text = text
        self._tell(0.0)
        return self._tell

    def end(self) -> None:
        self.done += 1
        self._tell(0.0)

    def _tell(self, share: float) -> None:
        if self.on_progress is not None:
            self.on_progress(round((self.done + share) * self.size), self.count * self.size, self.text)


def beside_random(
    parts: Parts, stretch: Stretch, work: Callable[[str], Any], figures: Callable[[str, Any], dict[str, Any]]
) -> dict[str, Any]:
    """The figures of the backbone, with those of random weights as `rivals`.

    Args:
        parts: keeps what `work` gave.
        stretch: of two trainings.
        work: trains from "spot" or "random" and tests.
        figures: of a result file, from the method and what `work` gave.
    """
    found = {}
    for method in ("spot", "random"):
        found[method] = figures(method, parts(method, functools.partial(work, method)))
        stretch.end()
    return found["spot"] | {"rivals": {"random": found["random"]}}


def finetune(
    backbone: keras.Model,
    source: Any,
    recipe: Recipe,
    parts: Parts,
    *,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains a classifier from the backbone and one from random weights, in the same way; each meets the test set once.

    Args:
        backbone: a spotter's.
        source: see `tf_spot.data`, with labels and a test split.
        recipe: of both.
        parts: keeps what is finished; the classifier of the backbone lies there as `spot.keras`.
        seed: see `fit_classifier`; also of the random weights.
        on_progress: told (done, total, text).

    Returns:
        the figures of a result file that follow from the training; `value` is the test accuracy in percent.

    Raises:
        UserError: no labels, no test split, or too few photos.
    """
    require_labelled_test(source)
    if not source.class_names:
        raise UserError(f"a classifier needs the names of its classes; received {source.spec}, which has none")
    stretch = Stretch(on_progress, 2)
    read = functools.cache(lambda: LabelledPhotos.of(source))  # when the first training that is not finished begins

    def train_and_test(method: str) -> dict[str, Any]:
        photos = read()
        tell = stretch.begin(f"finetuning from {method}")
        start = backbone if method == "spot" else untrained(backbone, seed)
        classifier, spent = fit_classifier(start, photos, source.class_names, recipe, seed=seed, tell=tell)
        if method == "spot":
            write_file(parts.path / "spot.keras", classifier.save)
        share, count = share_right(classifier, source.labelled("test", recipe.batch_size))
        return spent | {"share": share, "train_images": len(photos), "test_images": count}

    both = beside_random(parts, stretch, train_and_test, lambda method, found: _figures(method, source, found))
    return both | {"seed": seed, "recipe": asdict(recipe)}


def _figures(method: str, source: Any, found: dict[str, Any]) -> dict[str, Any]:
    share = found.pop("share")
    value = round(100 * share, 2)
    return {
        "task": "finetune", "method": method, "data": source.name, "metric": "accuracy", "unit": "percent",
        "value": value, "by_layer": {"finetuned": value},
        "stderr": round(100 * float(np.sqrt(share * (1 - share) / found["test_images"])), 2),
    } | found  # fmt: skip
