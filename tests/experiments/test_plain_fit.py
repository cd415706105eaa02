"""Methods trained by plain `fit`: their initial weights, batches and features."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.support.comparison_recipe import CONFIG
from tf_spot.data import Source
from tf_spot.experiments import plain_fit
from tf_spot.experiments.budget import Budget
from tf_spot.models.from_config import build_autoencoder
from tf_spot.runs import checkpoints
from tf_spot.runs.run import Run
from tf_spot.training.interrupts import Interrupted


def test_every_method_starts_from_the_same_weights(source: Source) -> None:
    kernels = [
        plain_fit.build_model("rotation", CONFIG, source, 10).backbone.convs[0].kernel.numpy(),
        plain_fit.build_model("supervised", CONFIG, source, 10).backbone.convs[0].kernel.numpy(),
        plain_fit.new_backbone(CONFIG).convs[0].kernel.numpy(),
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    np.testing.assert_array_equal(kernels[0], kernels[2])
    other = plain_fit.new_backbone(CONFIG.replace(**{"training.seed": 1})).convs[0].kernel.numpy()
    assert np.abs(other - kernels[0]).max() > 0.01


def test_the_labels_are_for_supervised_alone(source: Source) -> None:
    images = next(iter(plain_fit.stream("rotation", CONFIG, source, 3)))
    again, labels = next(iter(plain_fit.stream("supervised", CONFIG, source, 3)))
    assert images.shape == again.shape == (4, 16, 16, 3) and labels.shape == (4,)
    later = list(plain_fit.stream("rotation", CONFIG, source, 0).take(4))[3]
    np.testing.assert_array_equal(images, later)


def test_some_methods_are_told_which_photo_an_image_is_made_of(source: Source) -> None:
    """The images are those of the other methods; the indices are those of the photos that are trained on."""
    images, photos = next(iter(plain_fit.stream("noise-as-targets", CONFIG, source, 3)))
    np.testing.assert_array_equal(images, next(iter(plain_fit.stream("rotation", CONFIG, source, 3))))
    np.testing.assert_array_equal(photos, next(iter(source.unlabelled_indices(4, seed=0, first_step=3))))
    model = plain_fit.build_model("noise-as-targets", CONFIG, source, 10)
    assert model.classes == source.count("unlabelled") and model.points.shape[0] == model.classes
    assert plain_fit.build_model("supervised", CONFIG, source, 10).classes == 2
    assert plain_fit.build_model("byol", CONFIG, source, 10).classes is None


def test_an_autoencoder_transfers_the_levels_of_its_encoder() -> None:
    autoencoder = build_autoencoder(CONFIG)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    maps = plain_fit.extractor(autoencoder)(images)
    assert list(maps) == ["e0", "e1", "e2"] and [values.shape[1] for values in maps.values()] == [16, 8, 4]
    np.testing.assert_allclose(maps["e2"], autoencoder.encoder(images), atol=1e-6)


class Killed(Exception):
    """Stands for a kill."""


class KillAt(keras.callbacks.Callback):
    """Stops a training without any farewell after so many of its batches."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


def fit_and_kill(monkeypatch: pytest.MonkeyPatch, batches: int, method: str, *arguments: Any) -> None:
    with monkeypatch.context() as patch:
        whole = plain_fit._callbacks
        patch.setattr(plain_fit, "_callbacks", lambda *given: [*whole(*given), KillAt(batches)])
        with pytest.raises(Killed):
            plain_fit.fit(method, *arguments)


@pytest.mark.parametrize("method", ["rotation", "noise-as-targets", "byol", "bigan", "autoencoder"])
def test_a_fit_that_is_killed_goes_on_as_if_it_had_not_been(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Killed within an epoch, after a checkpoint within the one before."""
    config = CONFIG.replace(**{"training.checkpoint_steps": 2})
    whole, broken = (Run.create(tmp_path / name, config, {}) for name in ("whole", "broken"))
    budget = Budget(images=28)  # two epochs of three steps and a shorter one
    expected = plain_fit.fit(method, whole, source, budget, None)
    fit_and_kill(monkeypatch, 5, method, broken, source, budget, None)
    first = []
    fitted = plain_fit.fit(method, broken, source, budget, lambda done, *_: first.append(done))
    assert first[0] == 5, "step 4 was saved"
    assert fitted.images_seen == expected.images_seen == 28
    for got, wanted in zip(fitted.model.get_weights(), expected.model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)
    lines, as_whole = (
        [{name: value for name, value in line.items() if "second" not in name} for line in run.metrics()]
        for run in (broken, whole)
    )
    assert lines == as_whole and [line["step"] for line in lines] == [3, 6, 7]


def test_a_fit_stopped_by_a_signal_saves_first(source: Source, tmp_path: Path) -> None:
    run = Run.create(tmp_path, CONFIG, {})

    def stop(done: int, total: int, text: str) -> None:
        if done == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="repeat the command to go on"):
        plain_fit.fit("rotation", run, source, Budget(images=28), stop)
    assert [path.name for path in run.checkpoints("rotation").iterdir()] == ["step-00000002"]


def test_the_clock_of_a_continued_fit_goes_on_and_its_learning_rate_too(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_fit, "seconds_per_step", lambda *_: 1000.0)
    run = Run.create(tmp_path, CONFIG.replace(**{"training.checkpoint_steps": 2}), {})
    fit_and_kill(monkeypatch, 3, "rotation", run, source, Budget(seconds=12_000), None)
    checkpoint, _ = checkpoints.newest_good(run.checkpoints("rotation"))
    budget = Budget(seconds=checkpoint.state["seconds"] + 1)
    monkeypatch.setattr(plain_fit, "seconds_per_step", lambda *_: 99.0)
    steps = []
    monkeypatch.setattr(
        plain_fit, "build_model", lambda *given, build=plain_fit.build_model: steps.append(given[3]) or build(*given)
    )
    seen = []
    fitted = plain_fit.fit("rotation", run, source, budget, lambda done, *_: seen.append(done))
    assert steps == [12], "as first predicted"
    assert fitted.seconds >= budget.seconds and fitted.images_seen == 4 * (2 + len(seen))
    again = plain_fit.fit("rotation", run, source, budget, None)
    assert again.images_seen == fitted.images_seen, "its seconds are spent"


@pytest.mark.slow
def test_a_fit_spends_its_images(source: Source, tmp_path) -> None:
    run = Run.create(tmp_path, CONFIG, {})
    fitted = plain_fit.fit("rotation", run, source, Budget(images=17), None)
    assert isinstance(fitted.model, keras.Model) and fitted.images_seen == 16 and fitted.seconds > 0
