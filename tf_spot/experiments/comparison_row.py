"""The training of one row of a comparison: any method, any seed, one budget."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_spot.baselines import GAMES, pretext_class
from tf_spot.baselines.supervised import labelled_stream
from tf_spot.config import Config
from tf_spot.errors import UserError
from tf_spot.experiments.learning_curve import Curve, add_point
from tf_spot.models.from_config import adam, build_autoencoder, build_discriminator, build_spotter
from tf_spot.ops.cpu_features import JIT_COMPILE
from tf_spot.progress import Progress
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_file
from tf_spot.training import callbacks as cb
from tf_spot.training.train import train

PROBE_STEPS = (
    15  # timed to predict how many steps a number of seconds holds; the median leaves out the first, slow ones
)


@dataclass(frozen=True)
class Budget:
    """What every method may spend: images, one counting each time a batch holds it, or seconds of training steps."""

    images: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.images, self.seconds) if value is not None]
        if len(given) > 1 or any(value <= 0 for value in given):
            raise UserError(
                "a budget is either a number of images or a number of seconds, above 0; received: "
                f"images={self.images}, seconds={self.seconds}"
            )

    def __str__(self) -> str:
        return f"{self.images:,} images" if self.seconds is None else f"{self.seconds:g} seconds"


class Trained(NamedTuple):
    """A trained row."""

    extract: Any  # images to maps by layer
    images_seen: int
    seconds: float


def train_row(
    method: str, config: Config, source: Any, folder: Path, budget: Budget, on_progress: Progress | None = None
) -> Trained:
    """Trains one method with one seed into its folder, and saves there what transfers as backbone.keras.

    What it has learned at each quarter of the way goes to curve.jsonl, see `tf_spot.baselines.curve`. A game goes on
    where it was stopped; every other method starts anew.

    Args:
        method: one of `METHODS`.
        config: the recipe, its `training.seed` the row's.
        source: see `tf_spot.data`.
        folder: of the row.
        budget: images or seconds, one of them given.
        on_progress: told (done, total, text).
    """
    trained = _train(method, config, source, folder, budget, on_progress)
    add_point(folder, source, trained.extract, trained.images_seen)
    return trained


def _train(
    method: str, config: Config, source: Any, folder: Path, budget: Budget, on_progress: Progress | None
) -> Trained:
    if method in GAMES:
        return _play(config.replace(**GAMES[method]), source, folder, budget, on_progress)
    if folder.exists():
        shutil.rmtree(folder)
    run = Run.create(folder, config, data_record(source))
    if method == "autoencoder":
        return _train_autoencoder(run, source, budget, on_progress)
    backbone = new_backbone(config)
    spent = (0, 0.0)
    if method == "kmeans":
        from tf_spot.baselines.kmeans import initialise

        spent = initialise(backbone, source, config.training.seed)
    elif method != "random":
        model, spent = _fit(method, run, source, budget, on_progress)
        backbone = model.backbone
    write_file(folder / "backbone.keras", backbone.save)
    return Trained(backbone, *spent)


def data_record(source: Any) -> dict[str, Any]:
    """What a run folder says about its photos."""
    counts = {split: source.count(split) for split in ("train", "test")}
    return {"spec": source.spec, "name": source.name, "fingerprint": source.fingerprint, "counts": counts}


def new_backbone(config: Config) -> Any:
    """The untrained backbone, the same for every method with the same seed."""
    keras.utils.set_random_seed(config.training.seed)
    return build_discriminator(config).backbone


def build_model(method: str, config: Config, source: Any, steps: int) -> keras.Model:
    """An untrained, compiled model of any method that trains one network: the autoencoder or a `Pretext`."""
    if method == "autoencoder":
        return build_autoencoder(config.replace(**{"training.autoencoder_steps": steps}))
    backbone = new_backbone(config)
    model = pretext_class(method)(
        backbone,
        image_size=config.data.image_size,
        units=config.network.fc_units,
        classes=len(source.class_names) if method == "supervised" else None,
        weight_decay=config.game.weight_decay,
        seed=config.training.seed,
    )
    model.compile(adam(config, config.training.discriminator_learning_rate, steps), jit_compile=JIT_COMPILE)
    return model


# --- games, by the ordinary training ---------------------------------------------------------------------------------


def _play(config: Config, source: Any, folder: Path, budget: Budget, on_progress: Progress | None) -> Trained:
    """Two stages share the budget as the recipe's do: steps of the autoencoder to steps of the game."""
    (folder / "error.txt").unlink(missing_ok=True)
    begun = (folder / "config.json").is_file()
    config = Run(folder).config if begun else two_stages(config, budget, source)
    training = config.training
    before = training.autoencoder_steps * training.batch_size
    curve = Curve(folder, source, _extract, training, training.spotter_steps, images_before=before)
    spotter = train(
        config,
        source.spec,
        folder,
        resume=True,
        strategy="none",
        on_progress=on_progress,
        callbacks=lambda stage: [curve] if stage == "spotter" else [],
    )
    write_file(folder / "backbone.keras", spotter.backbone.save)
    spent = Run(folder).spent().values()
    return Trained(
        spotter.backbone,
        int(sum(stage["images_seen"] for stage in spent)),
        sum(stage["seconds"] for stage in spent),
    )


def two_stages(config: Config, budget: Budget, source: Any) -> Config:
    """The recipe with the steps of both stages scaled by one factor, so that together they spend the budget."""
    training = config.training
    parts = {"autoencoder": training.autoencoder_steps, "spotter": training.spotter_steps}
    if budget.images is not None:
        share = _steps(budget.images, config) / sum(parts.values())
    else:
        batches = source.unlabelled(training.batch_size, seed=training.seed)
        autoencoder = build_autoencoder(config)
        needed = {"autoencoder": seconds_a_step(autoencoder, batches, training.batch_size)}
        spotter = build_spotter(config, autoencoder)  # freezes the autoencoder
        needed["spotter"] = seconds_a_step(spotter, batches, training.batch_size)
        share = (budget.seconds or 0) / sum(parts[stage] * needed[stage] for stage in parts)
    first = max(1, round(share * parts["autoencoder"]))
    whole = max(first + 1, round(share * sum(parts.values())))
    return config.replace(**{"training.autoencoder_steps": first, "training.spotter_steps": whole - first})


# --- the others, under plain `fit` ------------------------------------------------------------------------------------


def _train_autoencoder(run: Run, source: Any, budget: Budget, on_progress: Progress | None) -> Trained:
    """The encoder is what transfers here: its levels e0, e1, ... take the place of conv1 ... conv5."""
    model, spent = _fit("autoencoder", run, source, budget, on_progress)
    write_file(run.model_path("autoencoder"), model.save)
    return Trained(_extract(model), *spent)


def _extract(model: Any) -> Any:
    """What maps images to {layer: maps}: the encoder's levels of an autoencoder, the backbone of all others."""
    return encoder_levels(model.encoder) if hasattr(model, "encoder") else model.backbone


def encoder_levels(encoder: Any) -> Callable[[Any], dict[str, Any]]:
    """Images to the output of every layer of the encoder, {"e0": (batch, h, w, channels), ...}."""

    def extract(images: Any) -> dict[str, Any]:
        maps, x = {}, images
        for stage in encoder.stages:
            x = maps[stage.name] = stage(x, training=False)
        return maps

    return extract


def _fit(
    method: str, run: Run, source: Any, budget: Budget, on_progress: Progress | None
) -> tuple[Any, tuple[int, float]]:
    """The model, trained for the budget, and the images seen and seconds spent.

    With seconds the clock ends the training, and the learning rate falls over as many steps as a timed trial predicts.
    """
    config, training = run.config, run.config.training
    if budget.images is not None:
        steps = _steps(budget.images, config)
    else:
        trial = build_model(method, config, source, PROBE_STEPS)
        a_step = seconds_a_step(trial, stream(method, config, source, 0), training.batch_size)
        steps = max(1, round((budget.seconds or 0) / a_step))
    model = build_model(method, config, source, steps)
    position = cb.Position(method, steps, training.steps_per_epoch, training.batch_size)
    writer = tf.summary.create_file_writer(str(run.path / "tensorboard"))
    callbacks = [cb.CountSteps(position), cb.FiniteLoss(position, run.path / "checkpoints")]
    callbacks += [cb.MetricsLog(position, run, writer), Curve(run.path, source, _extract, training, steps)]
    if budget.seconds is not None:
        position.total_steps = sys.maxsize
        callbacks.append(StopByClock(position, budget.seconds, on_progress))
    elif on_progress is not None:
        callbacks.append(cb.ReportProgress(position, on_progress))
    while position.step < position.total_steps:
        _fit_epochs(model, stream(method, config, source, position.step), position, callbacks)
    return model, (position.step * position.batch_size, position.seconds)


def _fit_epochs(model: keras.Model, batches: Any, position: cb.Position, callbacks: list[Any]) -> None:
    """As many whole epochs as are left, or a last shorter one."""
    left = position.total_steps - position.step
    epoch = position.step // position.steps_per_epoch
    model.fit(
        batches,
        initial_epoch=epoch,
        epochs=epoch + max(1, left // position.steps_per_epoch),
        steps_per_epoch=min(position.steps_per_epoch, left),
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )


def stream(method: str, config: Config, source: Any, first_step: int) -> tf.data.Dataset:
    """The batches a method trains on: those of the spotter, for `supervised` with labels."""
    batch_size, seed = config.training.batch_size, config.training.seed
    if method == "supervised":
        return labelled_stream(source, batch_size, seed=seed, first_step=first_step)
    return source.unlabelled(batch_size, seed=seed, first_step=first_step)


class StopByClock(keras.callbacks.Callback):
    """Ends the training when its steps have taken so many seconds. After `CountSteps`."""

    def __init__(self, position: cb.Position, seconds: float, on_progress: Progress | None) -> None:
        super().__init__()
        self.position, self.seconds, self.on_progress = position, seconds, on_progress

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        at = self.position
        if self.on_progress is not None:
            told = min(round(at.seconds), round(self.seconds))
            self.on_progress(told, round(self.seconds), f"{at.stage} seconds ({at.rate:.0f} images/s)")
        if at.seconds >= self.seconds:
            at.total_steps = at.step
            self.model.stop_training = True


def seconds_a_step(model: keras.Model, batches: tf.data.Dataset, batch_size: int) -> float:
    """The median of a few steps; they train the model."""
    position = cb.Position("trial", PROBE_STEPS, PROBE_STEPS, batch_size)
    callbacks = [cb.CountSteps(position)]
    model.fit(batches, steps_per_epoch=PROBE_STEPS, epochs=1, callbacks=callbacks, shuffle=False, verbose=0)
    return batch_size / position.rate


def _steps(images: int, config: Config) -> int:
    if images < 2 * config.training.batch_size:
        raise UserError(
            f"a budget holds two batches at least, here {2 * config.training.batch_size} images; received: {images}"
        )
    return images // config.training.batch_size
