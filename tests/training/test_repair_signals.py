"""Signals of the repair, and when they warn."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.evaluation_data import SIZE
from tests.training.test_altered_photos import BATCHES, untrained
from tf_spot.image_quality.copies import CopyQuality
from tf_spot.image_quality.dropped_cells import brightness_shift, patch_distance
from tf_spot.training import repair_signals as module
from tf_spot.training.altered_photos import REPAIRED, UNREPAIRED, alter
from tf_spot.training.position import Position
from tf_spot.training.repair_signals import RepairSignals, blur_warning, repair_signals, repair_warning, warnings_of

COPIES = {"held_out_psnr", "held_out_laplacian_share"}


def test_signals_are_the_measures_of_the_repair_at_inference() -> None:
    spotter = untrained()
    photos = alter(spotter, BATCHES, (UNREPAIRED, REPAIRED))
    expected = {
        f"held_out_{kind}_distance": patch_distance(photos.altered[kind], photos.decoded, photos.dropped)
        for kind in (UNREPAIRED, REPAIRED)
    } | {"held_out_brightness_shift": brightness_shift(photos.altered[REPAIRED], photos.decoded, photos.dropped)}
    expected |= {"held_out_psnr": photos.copies.psnr, "held_out_laplacian_share": photos.copies.laplacian_share}
    assert repair_signals(spotter, BATCHES) == pytest.approx(expected)


def test_rows_without_repair_have_the_signals_that_make_sense() -> None:
    assert set(repair_signals(untrained(repair="none"), BATCHES)) == COPIES | {"held_out_unrepaired_distance"}
    assert set(repair_signals(untrained(repair="gan", predict_mask=False), BATCHES)) == COPIES
    assert set(repair_signals(untrained(drop_rate=1e-9), BATCHES)) == COPIES, "no cell happens to be dropped"


class Photos:
    """A source of nine blank photos, all held out."""

    def held_out(self, batch_size: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(np.zeros((9, SIZE, SIZE, 3), np.float32)).batch(batch_size)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    """A callback every second epoch, whose measurements are `found`."""
    found = {"psnr": 30.0, "held_out_unrepaired_distance": 0.1, "held_out_repaired_distance": 0.2}
    copies = lambda *_: SimpleNamespace(copies=CopyQuality(found["psnr"], 0.5))  # noqa: E731
    monkeypatch.setattr(module, "alter", copies)
    monkeypatch.setattr(module, "repair_signals", lambda *_: {k: v for k, v in found.items() if k != "psnr"})
    caplog.set_level(logging.WARNING, "tf_spot")
    position = Position("spotter", total_steps=10, steps_per_epoch=1, batch_size=1)
    callback = RepairSignals(position, Photos(), probe_every=2)
    callback.set_model(object())

    def run(epochs: int) -> list[dict[str, float]]:
        callback.on_train_begin()
        logs: list[dict[str, float]] = []
        for _ in range(epochs):
            position.step += 1
            logs.append({})
            callback.on_epoch_end(position.epoch, logs[-1])
        return logs

    return SimpleNamespace(run=run, found=found, caplog=caplog)


def test_signals_join_the_logs_every_so_many_epochs_and_at_the_end(watched: Any) -> None:
    logs = watched.run(10)
    assert [bool(line) for line in logs] == [False, True] * 5
    assert logs[1]["held_out_repaired_distance"] == 0.2


def test_a_repair_that_does_harm_is_told_once_and_not_in_the_first_epochs(watched: Any) -> None:
    watched.run(2)
    assert watched.caplog.text == ""
    watched.run(8)
    assert watched.caplog.text.count("the repair makes damage easier to see") == 1


def test_a_blur_is_told_once_before_the_first_step(watched: Any) -> None:
    watched.found["psnr"] = 19.6
    watched.run(0)
    watched.run(0)
    assert watched.caplog.text.count("are a blur: 19.6 dB, below 24 dB") == 1


def test_warnings_have_their_limits() -> None:
    assert blur_warning(24.0) is None and blur_warning(23.99)
    equal = {"held_out_unrepaired_distance": 0.1, "held_out_repaired_distance": 0.1}
    worse = equal | {"held_out_repaired_distance": 0.11}
    assert repair_warning(equal, 3) is None and repair_warning(worse, 2) is None
    assert "0.110 of repaired cells, 0.100 of unrepaired" in (repair_warning(worse, 3) or "")
    assert repair_warning({"held_out_unrepaired_distance": 0.1}, 3) is None, "no repair network"


def test_a_report_has_the_warnings_that_hold_at_the_end() -> None:
    harm = {"held_out_unrepaired_distance": 0.1, "held_out_repaired_distance": 0.2}
    first = {"stage": "autoencoder", "epoch": 9, "held_out_psnr": 20.0}
    bad = {"stage": "spotter", "epoch": 5, "held_out_psnr": 20.0} | harm
    good = bad | {"epoch": 10, "held_out_psnr": 25.0, "held_out_repaired_distance": 0.05}
    between = {"stage": "spotter", "epoch": 6}
    assert warnings_of([]) == warnings_of([first]) == [], "stage 1 is not over"
    assert len(warnings_of([first, between])) == 1, "the blur that stage 2 began on"
    assert len(warnings_of([first, bad, between])) == 2
    assert warnings_of([first, bad, between, good]) == []
