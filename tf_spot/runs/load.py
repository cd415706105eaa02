"""Load what a run has trained, without the trainer: no callbacks, no strategies, no TensorBoard."""

from __future__ import annotations

import contextlib
import logging
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import keras

from tf_spot.config import Config
from tf_spot.errors import UserError
from tf_spot.models.adversarial_model import AdversarialModel
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones import Backbone, load_own
from tf_spot.models.classifier import Classifier
from tf_spot.models.discriminator import Discriminator
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs import checkpoints
from tf_spot.runs.cards import is_pretrained, known_names, pretrained_card
from tf_spot.runs.pretrained import load_pretrained
from tf_spot.runs.run import FIRST_BACKBONE, Run
from tf_spot.storage.regular_files import open_regular

log = logging.getLogger("tf_spot")


class TrainedBackbone(NamedTuple):
    """A backbone and the images that it was trained on."""

    backbone: Backbone
    image_size: int | None  # pixels, both sides; None if its file does not say


def load_backbone(source: str | Path | keras.Model) -> TrainedBackbone:
    """Load the backbone of a run, of a saved model, or one that comes with the package.

    Args:
        source: a run folder, or one of a row of a comparison; a .keras file of a spotter, discriminator, classifier or
            backbone, or such a model; or a name, see `load_pretrained`.

    Raises:
        UserError: none of these, or a model without a backbone.
    """
    if isinstance(source, keras.Model):
        return _backbone_of(source, f"a model of class {type(source).__name__}")
    path = Path(source)
    if path.suffix == ".keras" and path.is_file():
        return _backbone_of(_load(path, "float32"), str(path))
    if is_pretrained(source):
        return TrainedBackbone(load_pretrained(str(source)), pretrained_card(str(source))["image_size"])
    if path.is_dir():
        run = Run(path)
        if run.rival:
            return TrainedBackbone(_load(run.model_path("backbone"), "float32"), run.config.data.image_size)
        return _backbone_of(load_spotter(run), str(path))
    raise UserError(
        f"features come from a run folder, a .keras file or a pretrained name ({known_names()}); received: {source}, "
        "which is none of these"
    )


def _backbone_of(model: keras.Model, what: str) -> TrainedBackbone:
    if isinstance(model, ArtifactSpotter):
        model = model.discriminator
    if isinstance(model, Discriminator | Classifier):
        return TrainedBackbone(model.backbone, model.image_size)
    if isinstance(model, Backbone):
        return TrainedBackbone(model, model.input_size)
    raise UserError(
        f"features come from a spotter, a discriminator, a classifier or a backbone; received: {what}, "
        f"{type(model).__name__}"
    )


def load_autoencoder(run: Run | str | Path, precision: str = "float32") -> Autoencoder:
    """Load the autoencoder of a run: RUN/autoencoder.keras, else its newest good checkpoint.

    Args:
        run: the run, or its folder.
        precision: of its computations, whatever it was trained in; weights are always float32.

    Raises:
        UserError: the run has neither.
    """
    run = _opened(run)
    finished: Autoencoder | None = _finished(run, "autoencoder", precision)
    if finished is not None:
        return finished
    autoencoder = build_autoencoder(_with_precision(run.config, precision))
    restore(autoencoder, _newest(run, "autoencoder"))
    return autoencoder


def load_spotter(run: Run | str | Path) -> ArtifactSpotter:
    """Load the spotter of a run: RUN/spotter.keras, else its newest good checkpoint.

    It computes in float32, whatever it was trained in, so that its features are the same on every machine.

    Args:
        run: the run, or its folder.

    Raises:
        UserError: the run has neither.
    """
    run = _opened(run)
    finished: ArtifactSpotter | None = _finished(run, "spotter", "float32")
    if finished is not None:
        return finished
    checkpoint = _newest(run, "spotter")
    config = _with_precision(run.config, "float32")
    spotter = build_spotter(config, load_autoencoder(run), load_first_backbone(run))
    # The batch size may have been changed since it was written, see `Run.resume`.
    before = checkpoint.state.get("batch_size", run.first_batch_size)
    restore(spotter, checkpoint, other_batch_size=before != run.config.training.batch_size)
    return spotter


def load_first_backbone(run: Run, precision: str = "float32") -> Backbone | None:
    """Load the backbone that a run began with, if not at random weights: RUN/initial/backbone.keras.

    Raises:
        UserError: the file is damaged.
    """
    path = run.path / FIRST_BACKBONE
    return load_own(path, precision) if path.is_file() else None


def load_classifier(run: Run | str | Path) -> Classifier:
    """Load the classifier of a run: RUN/classifier.keras.

    Args:
        run: the run, or its folder.

    Raises:
        UserError: the run has none.
    """
    run = _opened(run)
    path = run.model_path("classifier")
    if not path.is_file():
        raise UserError(
            f"{run.path} has no classifier.keras; make one with: "
            f"tf-spot evaluate {run.path} --task finetune --data SPEC"
        )
    try:
        classifier: Classifier = _load(path, "float32")
    except _Damaged as error:
        raise UserError(f"{error}; make it anew with: tf-spot evaluate {run.path} --task finetune") from error
    return classifier


def restore(model: keras.Model, checkpoint: checkpoints.Checkpoint, other_batch_size: bool = False) -> None:
    """Load a checkpoint's weights into a model built like the one that wrote it.

    Args:
        model: to restore.
        checkpoint: whose weights are loaded.
        other_batch_size: the model was built for batches of another size: its history of past images, a slot for each
            index of a batch, begins empty.

    Raises:
        UserError: a weight is missing or of another shape, or the step differs.
    """
    past = model.past if other_batch_size and isinstance(model, AdversarialModel) else None
    try:
        with warnings.catch_warnings(), past.left_empty() if past else contextlib.nullcontext():
            warnings.simplefilter("error", UserWarning)  # Keras only warns of a part that the file lacks
            model.load_weights(checkpoint.weights_path)
    except (ValueError, UserWarning) as error:
        raise UserError(
            f"{checkpoint.path} does not fit this model: {' '.join(str(error).split())}; resume with the version that "
            "wrote it"
        ) from error
    # Each optimizer's own count drives its learning rate, so it must be that of the checkpoint.
    for optimizer in optimizers(model):
        if int(optimizer.iterations.numpy()) != checkpoint.step:
            raise UserError(
                f"{checkpoint.path} is of step {checkpoint.step}, but optimizer {optimizer.name} of "
                f"{int(optimizer.iterations.numpy())}; resume with the version that wrote it"
            )


def optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Return every optimizer of a compiled model; Keras itself knows only one."""
    # Keyed by identity: one optimizer may stand under two attributes.
    found = {id(v): v for v in vars(model).values() if isinstance(v, keras.optimizers.Optimizer)}
    return list(found.values())


def _opened(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else Run(run)


def _finished(run: Run, stage: str, precision: str) -> Any:
    """Return the model of a finished stage; None where there is none, or none that is whole."""
    path = run.model_path(stage)
    if not path.exists():
        return None
    try:
        return _load(path, precision)
    except _Damaged as error:
        if checkpoints.newest_good(run.checkpoints(stage))[0] is None:
            raise
        log.warning("%s; the newest good checkpoint of the run is taken instead", error)
        return None


def _newest(run: Run, stage: str) -> checkpoints.Checkpoint:
    checkpoint, _ = checkpoints.newest_good(run.checkpoints(stage))
    if checkpoint is None:
        lacks = f"{run.path} has neither {stage}.keras nor a checkpoint of it"
        if rival := run.rival:
            raise UserError(f"{lacks}: it is of the method {rival.method}, which trains a backbone alone")
        raise UserError(f"{lacks}; run: tf-spot train --resume")
    return checkpoint


def _with_precision(config: Config, precision: str) -> Config:
    return config.replace(**{"training.precision": precision})


class _Damaged(UserError):
    """A saved model that cannot be loaded."""


def _load(path: Path, precision: str) -> Any:
    """Load a model without its optimizers, to compute in `precision`.

    Raises:
        _Damaged: the file cannot be read as a model.
    """
    try:
        _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns of weights that it leaves out
            model = keras.saving.load_model(path, compile=False)
    except PermissionError:
        raise
    except Exception as error:  # of zip, JSON, HDF5 and Keras: a damaged file makes them raise nearly anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise _Damaged(f"a model must be as it was saved; received: {path}, not to be loaded: {reason}") from error
    if model.dtype_policy.name == precision:
        return model
    # A layer's precision is fixed when it is made, so the weights move to a new model.
    other = type(model).from_config(_computing_in(precision, model.get_config()))
    other.set_weights(model.get_weights())
    return other


def _check_archive(path: Path) -> None:
    """Compare the checksums of all that a model's file holds: Keras reads past some damage without a word.

    Raises:
        zipfile.BadZipFile: it is damaged.
    """
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"{damaged} in it is damaged")


def _computing_in(precision: str, config: object) -> object:
    """Return a model's configuration with another precision, also for the models inside."""
    if not isinstance(config, dict):
        return config
    return {k: precision if k == "dtype" else _computing_in(precision, value) for k, value in config.items()}
