"""The buffer of past corrupted images."""

from __future__ import annotations

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.config import PRESETS, preset
from tf_spot.models.history_buffer import History
from tf_spot.ops.hardware import trial

ROWS = 6


def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Images whose value is 100 x step + place (from step 1), and masks with the same value."""
    values = 100.0 * step + np.arange(ROWS, dtype="float32").reshape(ROWS, 1, 1, 1)
    return values * np.ones((1, 4, 4, 3), "float32"), values * np.ones((1, 2, 2, 1), "float32")


def built(batches: int = 3, seed: int = 0, steps: int = 2) -> History:
    history = History(batches, seed, steps)
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


def test_slots_fill_in_order_then_one_of_them_is_replaced() -> None:
    history = built(batches=2)
    run(history, 4)  # every place has stored twice
    np.testing.assert_array_equal(history.stored, [2] * ROWS)
    stored = history.images[:, :, 0, 0, 0] // 100
    np.testing.assert_array_equal(stored, [[1, 2] * 3, [3, 4] * 3])
    run(history, 20, first=5)
    steps = history.images[:, :, 0, 0, 0].numpy() // 100  # (slot, place)
    assert steps.max(axis=0).min() >= 23  # the last stored image is still there
    np.testing.assert_array_equal(history.images[:, :, 0, 0, 0].numpy() % 100, [np.arange(ROWS)] * 2)
    assert np.all(np.ptp(steps, axis=1) <= 1)  # all places share a slot: it holds two steps in a row


def test_full_slots_are_replaced_every_so_many_steps() -> None:
    history, changed = built(batches=3, steps=5), []
    run(history, 6)  # full
    for step in range(7, 40):
        before = history.images.numpy()
        run(history, 1, first=step)
        changed.append(step if np.any(history.images.numpy() != before) else 0)
    assert {step % 5 for step in changed if step} == {0, 1} and sum(step > 0 for step in changed) == 12


@pytest.mark.parametrize("steps", [2, 7])
def test_past_images_are_as_old_on_average_as_slots_times_steps(steps: int) -> None:
    """A slot's age is geometric, so the mean of 4,000 dependent ages is off by a fifth at most."""
    history, ages, length = built(batches=4, steps=steps), [], 400 * steps
    step_of = tf.function(lambda images, masks, step: history(images, masks, step=step)[0][:, 0, 0, 0])
    images, masks = (tf.ones((ROWS, 4, 4, 3)), tf.ones((ROWS, 2, 2, 1)))
    for step in range(length):
        age = step - step_of(images * step, masks, tf.constant(step, tf.int64)).numpy()
        if step > length // 4:
            ages.extend(age[age > 0])
    assert np.mean(ages) == pytest.approx(4 * steps, rel=0.2)
    assert np.max(ages) > 3 * 4 * steps  # the tail


@pytest.mark.parametrize("name", PRESETS)
def test_past_images_of_the_presets_are_hundreds_of_steps_old(name: str) -> None:
    game = preset(name).game
    assert game.history_batches == 0 or 100 < game.history_batches * game.history_steps < 1000


def test_no_operation_makes_a_copy_of_the_buffer() -> None:
    """A slot is written in place: whatever a step computes is as large as a slot at most."""
    history = built(batches=3)
    step_of = tf.function(lambda images, masks, step: history(images, masks, step=step))
    graph = step_of.get_concrete_function(*map(tf.constant, batch(0)), tf.constant(0, tf.int64)).graph
    size = {op.type for op in graph.get_operations() for out in op.outputs if out.shape == history.images.shape}
    assert size == {"ReadVariableOp"}  # hands the memory on


def test_compiled_by_xla_it_stores_and_gives_the_same() -> None:
    plain, compiled = built(), built()
    step_of = tf.function(lambda images, masks, step: compiled(images, masks, step=step), jit_compile=True)
    for step in range(1, 12):
        images, masks = batch(step)
        with trial(jit_compile=True):
            found = step_of(images, masks, tf.constant(step, tf.int64))
        for ours, theirs in zip(found, plain(images, masks, step=step), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(compiled.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


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


def test_slots_of_batches_of_another_size_are_left_and_it_fills_anew(tmp_path: Path) -> None:
    small = keras.Sequential([History(2, name="past")])
    small.layers[0].build((ROWS - 2, 4, 4, 3), (ROWS - 2, 2, 2, 1))
    small.layers[0].stored.assign(np.full(ROWS - 2, 3))
    small.built = True
    small.save_weights(tmp_path / "small.weights.h5")
    large = keras.Sequential([built()])
    large.built = True
    with large.layers[0].left_empty():
        large.load_weights(tmp_path / "small.weights.h5")
    assert np.all(large.layers[0].stored == 0)
    with pytest.raises(ValueError, match="shape"):
        large.load_weights(tmp_path / "small.weights.h5")
