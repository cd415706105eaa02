"""The training of one row of a comparison: any method, any seed, one budget."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tf_spot.baselines import GAMES, UNTRAINED
from tf_spot.config import Config
from tf_spot.data.source import Source
from tf_spot.experiments.budget import Budget, two_stages
from tf_spot.experiments.learning_curve import Curve, add_point
from tf_spot.experiments.plain_fit import extractor, fit, new_backbone, random_backbone
from tf_spot.experiments.table import training_cost
from tf_spot.features.pooling import Extractor
from tf_spot.progress import Progress
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_file
from tf_spot.training.train import train


class Trained(NamedTuple):
    """The features of a trained row, and its cost."""

    extract: Extractor
    images_seen: int
    seconds: float


def train_row(
    method: str,
    config: Config,
    source: Source,
    folder: Path,
    budget: Budget,
    on_progress: Progress | None = None,
) -> Trained:
    """Train one method with one seed, and save what transfers as backbone.keras.

    The accuracy at each quarter of the training goes to curve.jsonl, see `learning_curve`. A row that was stopped
    continues from its newest checkpoint.

    Args:
        method: one of `METHODS`.
        config: the recipe, its `training.seed` the row's.
        source: labelled photos; only `supervised` is trained on labels.
        folder: of the row.
        budget: images or seconds, one of them given.
        on_progress: called with (done, total, text).
    """
    if method in GAMES:
        trained = _train_game(config.replace(**GAMES[method]), source, folder, budget, on_progress)
    else:
        run = Run.resume(folder, config, source.record())
        trained = _train_plain(method, run, source, budget, on_progress)
    add_point(folder, source, trained.extract, trained.images_seen)
    return trained


def _train_game(config: Config, source: Source, folder: Path, budget: Budget, on_progress: Progress | None) -> Trained:
    """Train the spotter or the GAN, both stages within the budget."""
    # Steps from a budget of seconds depend on the machine's load: a continued row keeps those it began with.
    begun = (folder / "config.json").is_file()
    config = Run(folder).config if begun else two_stages(config, budget, source)
    training = config.training
    before = training.autoencoder_steps * training.batch_size
    curve = Curve(folder, source, extractor, training, training.spotter_steps, images_before=before)
    spotter = train(
        config,
        source,
        folder,
        resume=True,
        strategy="none",  # as the plain fits, which use one device
        on_progress=on_progress,
        callbacks=lambda stage: [curve] if stage == "spotter" else [],
    )
    write_file(folder / "backbone.keras", spotter.backbone.save)
    return Trained(spotter.backbone, **training_cost(folder))


def _train_plain(method: str, run: Run, source: Source, budget: Budget, on_progress: Progress | None) -> Trained:
    """Train, or only initialise, a single network."""
    if method == "autoencoder":
        # What transfers is the encoder: its levels e0, e1, ... stand for conv1 ... conv5.
        model, images_seen, seconds = fit(method, run, source, budget, on_progress)
        write_file(run.model_path("autoencoder"), model.save)
        return Trained(extractor(model), images_seen, seconds)
    images_seen, seconds = 0, 0.0
    backbone = random_backbone(run.config) if method in UNTRAINED else new_backbone(run.config)
    if method == "kmeans":
        # Loads scikit-learn, which no other method needs.
        from tf_spot.baselines.kmeans import initialise

        images_seen, seconds = initialise(backbone, source, run.config.training.seed)
    elif method != "random":
        model, images_seen, seconds = fit(method, run, source, budget, on_progress)
        backbone = model.backbone
    write_file(run.path / "backbone.keras", backbone.save)
    return Trained(backbone, images_seen, seconds)
