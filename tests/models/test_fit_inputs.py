"""Keras' ordinary inputs: they work, or one sentence says why not before the graph runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.test_spotter import BATCH, make, pictures
from tf_spot.errors import UserError
from tf_spot.models.adversarial_model import AdversarialModel
from tf_spot.models.fit_inputs import FitInput

IMAGES = pictures(3 * BATCH)
LABELS = np.zeros(len(IMAGES), np.int32)


class Rows(keras.utils.PyDataset):
    """Batches of the given sizes."""

    def __init__(self, *sizes: int, scale: float = 1.0) -> None:
        super().__init__()
        self.sizes, self.scale = sizes, scale

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> np.ndarray:
        return IMAGES[: self.sizes[index]] * np.float32(self.scale)


def batches(*sizes: int) -> Iterator[np.ndarray]:
    yield from (IMAGES[:size] for size in sizes)


@pytest.fixture
def spotter() -> AdversarialModel:
    model = make(history_batches=2)
    model.compile("sgd", "sgd", run_eagerly=True)  # tracing a step takes longer than running a few
    return model


@pytest.mark.parametrize(
    ("x", "options"),
    [
        (IMAGES, {"batch_size": BATCH}),
        (tf.constant(IMAGES), {"batch_size": BATCH}),
        (IMAGES, {"y": LABELS, "batch_size": BATCH}),
        (tf.data.Dataset.from_tensor_slices(IMAGES).batch(BATCH, drop_remainder=True), {}),
        (Rows(BATCH, BATCH), {}),
        ("generator", {"steps_per_epoch": 3}),
        (IMAGES, {"batch_size": BATCH, "validation_split": 1 / 3}),
    ],
)
def test_ordinary_inputs_work_with_a_history(spotter: AdversarialModel, x: Any, options: dict) -> None:
    x = batches(BATCH, BATCH, BATCH) if isinstance(x, str) else x
    steps = 2 if isinstance(x, Rows) or "validation_split" in options else 3
    spotter.fit(x, shuffle=False, verbose=0, **options)
    assert spotter.batch_size == BATCH and int(spotter.step) == steps, "no batch is lost"
    spotter.train_on_batch(IMAGES[:BATCH])
    assert int(spotter.step) == steps + 1


@pytest.mark.parametrize(
    ("x", "options", "told"),
    [
        (IMAGES[:-1], {"batch_size": BATCH}, f"batches of {BATCH} and one of {BATCH - 1}"),
        (IMAGES[:3], {}, "batches of 32 and one of 3"),
        (Rows(BATCH, 3), {}, f"batches of {BATCH} and one of 3"),
        ("generator", {}, f"batches of {BATCH} and one of 3"),
        (IMAGES, {"batch_size": BATCH, "validation_split": 0.5}, "leave out the last images"),
        (tf.data.Dataset.from_tensor_slices(IMAGES).batch(BATCH), {}, "drop_remainder=True"),
    ],
)
def test_batches_of_other_sizes_are_refused_in_one_sentence(
    spotter: AdversarialModel, x: Any, options: dict, told: str
) -> None:
    x = batches(BATCH, 3) if isinstance(x, str) else x
    with pytest.raises(ValueError, match=told) as caught:
        spotter.fit(x, shuffle=False, verbose=0, **options)
    assert "\n" not in str(caught.value)


def test_another_batch_size_than_before_is_refused(spotter: AdversarialModel) -> None:
    spotter.train_on_batch(IMAGES[:BATCH])
    for again in (lambda: spotter.train_on_batch(IMAGES[:3]), lambda: spotter.fit(Rows(3), shuffle=False, verbose=0)):
        with pytest.raises(ValueError, match=f"history holds batches of {BATCH} images. Received: batches of 3"):
            again()


@pytest.mark.parametrize("stage", ["autoencoder", "spotter"])
def test_images_in_another_range_are_refused_at_the_first_batch(spotter: AdversarialModel, stage: str) -> None:
    model = spotter
    if stage == "autoencoder":
        model = spotter.autoencoder
        model.trainable = True
        model.compile()
    for x in (
        (IMAGES + 1) * 127.5,
        Rows(BATCH, scale=255),
        (batch * 255 for batch in batches(BATCH)),
        tf.data.Dataset.from_tensor_slices(IMAGES * 255).batch(BATCH, drop_remainder=True),
    ):
        with pytest.raises(UserError, match="x must be float32 in .* convert"):
            model.fit(x, shuffle=False, verbose=0)
    with pytest.raises(UserError, match="received: uint8"):
        model.fit(np.zeros(IMAGES.shape, np.uint8), shuffle=False, verbose=0)
    assert int(model.optimizer.iterations) == 0


def test_inputs_without_a_batch_and_unbatched_ones_are_refused(spotter: AdversarialModel) -> None:
    with pytest.raises(UserError, match="one batch at least"):
        spotter.fit(batches(), shuffle=False, verbose=0)
    with pytest.raises(UserError, match=r"must be images \(batch, .*received: shape"):
        spotter.fit(tf.data.Dataset.from_tensor_slices(IMAGES), shuffle=False, verbose=0)


@pytest.mark.parametrize("name", ["loss", "loss_weights", "metrics", "weighted_metrics"])
def test_compile_refuses_what_it_would_ignore(name: str) -> None:
    for model in (make(), make().autoencoder):
        with pytest.raises(UserError, match=f"received: {name}=; leave it out"):
            model.compile(**{name: ["accuracy"]})


@pytest.mark.parametrize("name", ["class_weight", "sample_weight"])
def test_fit_refuses_what_it_would_ignore(spotter: AdversarialModel, name: str) -> None:
    with pytest.raises(UserError, match=f"received: {name}="):
        spotter.fit(IMAGES, batch_size=BATCH, verbose=0, **{name: {0: 1.0}})
    spotter.autoencoder.compile()
    with pytest.raises(UserError, match=f"received: {name}="):
        spotter.autoencoder.fit(IMAGES, batch_size=BATCH, verbose=0, **{name: {0: 1.0}})


@pytest.mark.parametrize("choice", [False, "auto"])
def test_jit_compile_is_keras_own_argument(choice: bool | str) -> None:
    for model in (make(), make().autoencoder):
        model.compile(jit_compile=choice)
        assert model.jit_compile in (choice, False, True)
    model.compile(jit_compile=True)
    assert model.jit_compile is True


def test_the_first_batch_of_a_generator_is_not_lost() -> None:
    given = FitInput(batches(1, 2, 3))
    assert len(given.first) == 1 and [len(batch) for (batch,) in given.x] == [1, 2, 3]
