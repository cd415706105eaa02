"""The buffer of past corrupted images."""

from __future__ import annotations

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from tf_spot.models.history_buffer import History

ROWS = 6


def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Images whose value is 100 x step + place (from step 1), and masks with the same value."""
    values = 100.0 * step + np.arange(ROWS, dtype="float32").reshape(ROWS, 1, 1, 1)
    return values * np.ones((1, 4, 4, 3), "float32"), values * np.ones((1, 2, 2, 1), "float32")


def built(batches: int = 3, seed: int = 0) -> History:
    history = History(batches, seed)
    history.build((ROWS, 4, 4, 3), (ROWS, 2, 2, 1))
    return history


def run(history: History, steps: int, first: int = 1) -> list[np.ndarray]:
    """The value of every place, step by step."""
    out = []
    for step in range(first, first + steps):
        images, masks = (np.asarray(part) for part in history(*batch(step), step=step))
        assert np.ptp(images, axis=(1, 2, 3)).max() == 0  # an image is taken whole
        np.testing.assert_array_equal(images[:, 0, 0, 0], masks[:, 0, 0, 0])  # its mask travels with it
        out.append(images[:, 0, 0, 0])
    return out


def test_first_batch_passes_unchanged() -> None:
    np.testing.assert_array_equal(run(built(), 1)[0], 100 + np.arange(ROWS))


def test_from_the_second_step_on_half_are_past_images_of_the_same_place() -> None:
    for step, values in enumerate(run(built(), 12), start=1):
        ages = step - values // 100
        np.testing.assert_array_equal(values % 100, np.arange(ROWS))
        assert np.sum(ages > 0) == (0 if step == 1 else ROWS // 2)


def test_places_swap_roles_with_the_step() -> None:
    steps = run(built(), 7)
    past = np.array([values < 100 * step for step, values in enumerate(steps, start=1)])
    assert np.all(past[1:-1] != past[2:])


def test_slots_fill_in_order_then_are_replaced() -> None:
    history = built(batches=2)
    run(history, 4)  # every place has stored twice
    np.testing.assert_array_equal(history.stored, [2] * ROWS)
    stored = np.sort(history.images[:, :, 0, 0, 0] // 100, axis=0)
    np.testing.assert_array_equal(stored, [[1, 2] * 3, [3, 4] * 3] if stored[0, 0] == 1 else [[2, 1] * 3, [4, 3] * 3])
    run(history, 20, first=5)
    newest = history.images[:, :, 0, 0, 0].numpy().max(axis=0) // 100
    assert newest.min() >= 23  # the last stored image is still there: only slots of its own place are replaced
    assert len(np.unique(history.images[:, :, 0, 0, 0])) == 2 * ROWS


def test_past_images_come_from_all_slots() -> None:
    history = built(batches=4)
    run(history, 30)
    seen = {int(values[0]) for values in run(history, 40, first=31)}
    assert len(seen) > 15


def test_history_is_a_function_of_seed_and_step() -> None:
    same, again, other = run(built(), 20), run(built(), 20), run(built(seed=1), 20)
    np.testing.assert_array_equal(same, again)
    assert np.any(np.array(same) != np.array(other))


@pytest.mark.parametrize("saved", [True, False])
def test_slots_may_be_left_out_of_a_file(tmp_path: Path, saved: bool) -> None:
    """A model resumed without them begins with an empty history; whatever it had before is its own."""
    path, models = tmp_path / "model.weights.h5", []
    for _ in range(2):
        history = built()
        history.saved = saved
        models.append(keras.Sequential([history]))
        models[-1].built = True
    run(models[0].layers[0], 5)
    models[0].save_weights(path)
    models[1].load_weights(path)
    before, after = (model.layers[0] for model in models)
    assert np.abs(before.images).max() > 0
    np.testing.assert_array_equal(after.images, before.images if saved else np.zeros_like(before.images))
    np.testing.assert_array_equal(after.stored, before.stored if saved else [0] * ROWS)
    arrays: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, entry: arrays.append(name) if isinstance(entry, h5py.Dataset) else None)
    assert len(arrays) == (3 if saved else 0)
