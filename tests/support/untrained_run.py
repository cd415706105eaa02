"""A run whose networks are not trained, to be exported."""

from __future__ import annotations

from pathlib import Path

from tf_spot.config import preset
from tf_spot.models.classifier import Classifier
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs.load import load_spotter
from tf_spot.runs.run import Run

CONFIG = preset("tiny").replace(**{"network.width": 0.125, "network.fc_units": 8})


def write_run(folder: Path) -> Path:
    """A run with a spotter, on photos that have gone since."""
    Run.create(folder, CONFIG, {"spec": "folder:/gone", "name": "gone", "fingerprint": "", "counts": {}})
    build_spotter(CONFIG, build_autoencoder(CONFIG)).save(folder / "spotter.keras")
    return folder


def add_classifier(folder: Path) -> Path:
    """The same with a classifier of two classes."""
    backbone = load_spotter(folder).backbone
    Classifier(backbone, ["höhe", "tiefe"], image_size=CONFIG.data.image_size).save(folder / "classifier.keras")
    return folder
