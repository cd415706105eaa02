"""A snapshot keeps the values of its moment, whatever the training does to the variables then."""

from __future__ import annotations

import threading
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from tf_spot.models.autoencoder import Autoencoder
from tf_spot.runs.snapshot import Snapshot

IMAGES = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 3)).astype("float32")


@pytest.fixture
def model() -> Autoencoder:
    keras.utils.set_random_seed(0)
    model = Autoencoder(image_size=8, width=0.0625, levels=2)
    model.compile()
    model.fit(IMAGES, batch_size=4, verbose=0)
    return model


def arrays(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, entry: found.update({name: entry[()]}) if isinstance(entry, h5py.Dataset) else None
        )
    return found


def test_what_is_written_later_is_what_was_there(model: Autoencoder, tmp_path: Path) -> None:
    """In another thread, and while the model goes on: optimizer, batch norm's statistics and metrics included."""
    model.save_weights(tmp_path / "then.weights.h5")
    snapshot = Snapshot(model)
    model.fit(IMAGES, batch_size=4, epochs=2, verbose=0)
    thread = threading.Thread(target=snapshot.save_weights, args=(str(tmp_path / "later.weights.h5"),))
    thread.start()
    thread.join()
    model.save_weights(tmp_path / "now.weights.h5")
    then, later, now = (arrays(tmp_path / f"{name}.weights.h5") for name in ("then", "later", "now"))
    assert then.keys() == later.keys() and len(then) > 20
    assert all(then[name].tobytes() == later[name].tobytes() for name in then)
    assert sum(then[name].tobytes() != now[name].tobytes() for name in then) > 20, "all has moved meanwhile"
    assert (tmp_path / "later.weights.h5").stat().st_size <= snapshot.file_size


def test_the_first_variable_that_is_not_finite_is_named(model: Autoencoder) -> None:
    assert Snapshot(model).first_not_finite() is None
    moment = model.optimizer.variables[-1]
    moment.assign(np.full(moment.shape, np.nan))
    assert Snapshot(model).first_not_finite() == moment.path
