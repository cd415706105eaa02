"""Methods of a comparison that train one network by plain `fit`: the autoencoder and the pretext tasks."""

from __future__ import annotations

import sys
from typing import NamedTuple

import keras
import tensorflow as tf

from tf_spot.baselines import pretext_class
from tf_spot.baselines.pretext import Pretext
from tf_spot.baselines.supervised import labelled_stream
from tf_spot.config import Config
from tf_spot.data.source import Source
from tf_spot.evaluation.beside_random import untrained
from tf_spot.experiments.budget import TRIAL_STEPS, Budget, StopByClock, seconds_per_step, whole_steps
from tf_spot.experiments.learning_curve import Curve
from tf_spot.features.pooling import Extractor
from tf_spot.models.backbones import Backbone
from tf_spot.models.from_config import adam, build_autoencoder, build_discriminator
from tf_spot.models.networks import Encoder
from tf_spot.ops.hardware import form
from tf_spot.progress import Progress
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json
from tf_spot.storage.json_files import read_json
from tf_spot.training.callbacks import Checkpoints, CountSteps, FiniteLoss, MetricsLog, ReportProgress
from tf_spot.training.interrupts import Signals, StopOnSignal, saved_when_stopped
from tf_spot.training.position import Position
from tf_spot.training.stage import resume


class Fitted(NamedTuple):
    """A model trained for its budget."""

    model: keras.Model
    images_seen: int
    seconds: float


def fit(method: str, run: Run, source: Source, budget: Budget, on_progress: Progress | None) -> Fitted:
    """Train a method for its budget, with records and checkpoints in the run folder, from the newest checkpoint on.

    With a budget of seconds the clock ends the training, and the learning rate falls over as many steps as a timed
    trial predicts.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM, the work saved.
    """
    config, training = run.config, run.config.training
    steps = _steps(method, run, source, budget)
    model = build_model(method, config, source, steps)
    position = Position(
        method, steps, training.steps_per_epoch, training.batch_size, checkpoint_steps=training.checkpoint_steps
    )
    state = resume(run, position, model)
    checkpoint = Checkpoints(position, run.checkpoints(method), training.keep_checkpoints, state.get("means"))
    with Signals() as signals:
        callbacks = [
            *_callbacks(run, position, source, budget, on_progress),
            checkpoint,
            StopOnSignal(position, signals, checkpoint),
        ]
        with saved_when_stopped(signals, checkpoint):
            # The stream is a function of the step, so every `fit` opens it where the last one ended.
            while position.step < position.total_steps:
                batches, part = stream(method, config, source, position.step), position.next_fit()
                # On a dataset `shuffle` has no effect, and Keras warns of its own default.
                model.fit(batches, **part, callbacks=callbacks, shuffle=False, verbose=0)
    return Fitted(model, position.step * position.batch_size, position.seconds)


def _steps(method: str, run: Run, source: Source, budget: Budget) -> int:
    config = run.config
    if budget.images is not None:
        return whole_steps(budget.images, config.training)
    # What a trial predicts depends on the machine's load: a continued row keeps the steps that it began with.
    predicted = run.path / "steps.json"
    if not predicted.is_file():
        # The trial has a model of its own, as its steps train it.
        trial = build_model(method, config, source, TRIAL_STEPS)
        per_step = seconds_per_step(trial, stream(method, config, source, 0), config.training.batch_size)
        write_json(predicted, {"steps": max(1, round((budget.seconds or 0) / per_step))})
    return int(read_json(predicted, {"steps": int})["steps"])


def _callbacks(
    run: Run, position: Position, source: Source, budget: Budget, on_progress: Progress | None
) -> list[keras.callbacks.Callback]:
    writer = tf.summary.create_file_writer(str(run.path / "tensorboard"))
    # CountSteps comes first: the others read the position that it moves.
    callbacks = [
        CountSteps(position),
        FiniteLoss(position, run.checkpoints(position.stage)),
        MetricsLog(position, run, writer),
        Curve(run.path, source, extractor, run.config.training, position.total_steps),
    ]
    if budget.seconds is not None:
        # The predicted number of steps shapes the learning rate and the curve only; the clock ends the training.
        position.total_steps = sys.maxsize if position.seconds < budget.seconds else position.step
        callbacks.append(StopByClock(position, budget.seconds, on_progress))
    elif on_progress is not None:
        callbacks.append(ReportProgress(position, on_progress))
    return callbacks


# --- models and batches -----------------------------------------------------------------------------------------------


def build_model(method: str, config: Config, source: Source, steps: int) -> keras.Model:
    """Return an untrained, compiled model: the autoencoder or a `Pretext`, its learning rate falling over `steps`."""
    if method == "autoencoder":
        return build_autoencoder(config.replace(**{"training.autoencoder_steps": steps}))
    kind = pretext_class(method)
    model = kind(
        new_backbone(config),
        image_size=config.data.image_size,
        units=config.network.fc_units,
        classes=_num_classes(kind, source),
        weight_decay=config.game.weight_decay,
        seed=config.training.seed,
    )
    model.compile(adam(config, config.training.discriminator_learning_rate, steps), jit_compile=form().jit_compile)
    model.optimizer.build(model.trainable_variables)  # a checkpoint is read into slots that exist
    return model


def _num_classes(kind: type[Pretext], source: Source) -> int | None:
    """Return how many labels a task's batches can have, None without labels."""
    if kind.label_kind == "photos":
        return source.count("unlabelled")
    return len(source.class_names or ()) if kind.label_kind == "classes" else None


def new_backbone(config: Config) -> Backbone:
    """Return the untrained backbone, with the same weights for every method with the same seed."""
    keras.utils.set_random_seed(config.training.seed)
    return build_discriminator(config).backbone


def random_backbone(config: Config) -> Backbone:
    """Return `new_backbone`, at random weights even where the recipe's begins with others."""
    backbone = new_backbone(config)
    return untrained(backbone, config.training.seed) if config.network.begins_with_weights else backbone


def stream(method: str, config: Config, source: Source, first_step: int) -> tf.data.Dataset:
    """Return the batches that a method trains on, from `first_step`: the spotter's, with labels if it needs them.

    Returns:
        batches of images float32 (batch_size, image_size, image_size, 3) in [-1, 1], or of (images, labels int32
        (batch_size,)); see `Pretext.label_kind`.
    """
    batch_size, seed = config.training.batch_size, config.training.seed
    label_kind = None if method == "autoencoder" else pretext_class(method).label_kind
    if label_kind == "classes":
        return labelled_stream(source, batch_size, seed=seed, first_step=first_step)
    images = source.unlabelled(batch_size, seed=seed, first_step=first_step)
    if label_kind == "photos":
        return tf.data.Dataset.zip(images, source.unlabelled_indices(batch_size, seed=seed, first_step=first_step))
    return images


# --- what transfers ---------------------------------------------------------------------------------------------------


def extractor(model: keras.Model) -> Extractor:
    """Return what maps images to {layer: maps}: an autoencoder's encoder levels, else the model's backbone."""
    return encoder_levels(model.encoder) if hasattr(model, "encoder") else model.backbone


def encoder_levels(encoder: Encoder) -> Extractor:
    """Return what maps images to the output of every layer of the encoder, {"e0": (batch, h, w, channels), ...}."""

    def extract(images: tf.Tensor) -> dict[str, tf.Tensor]:
        maps, x = {}, images
        for stage in encoder.stages:
            x = maps[stage.name] = stage(x, training=False)
        return maps

    return extract
