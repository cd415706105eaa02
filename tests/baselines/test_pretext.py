"""The rivals: each learns its task, and each precaution of its authors does what it is for."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.baselines import pretext_class
from tf_spot.baselines.rotation import four_rotations
from tf_spot.baselines.supervised import labelled_stream
from tf_spot.config import preset
from tf_spot.data import load
from tf_spot.models.from_config import build_discriminator

CONFIG = preset("tiny").replace(**{"network.width": 0.125, "network.fc_units": 32})
SIZE = 32


def make(method, **settings):
    """A compiled rival on a narrow backbone."""
    keras.utils.set_random_seed(0)
    model = pretext_class(method)(build_discriminator(CONFIG).backbone, SIZE, units=32, **settings)
    model.compile(keras.optimizers.Adam(2e-3), jit_compile=False)
    return model


def one_step(model, images):
    """A training step without the seconds that tracing a graph takes."""
    model.train_step(images)


def pictures(count, seed=0):
    """Photos of a kind: each of its own colours, light above and dark below, a disc in the lower left quarter."""
    numbers = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    images = []
    for _ in range(count):
        sky, ground, disc = numbers.uniform(-0.5, 0.5, (3, 3))
        image = sky + 0.5 - rows[..., None] * (sky + 1 - ground)
        inside = (rows - 0.7) ** 2 + (columns - 0.3) ** 2 < numbers.uniform(0.01, 0.03)
        image[inside] = disc + 0.2
        images.append(image + numbers.normal(0, 0.05, image.shape))
    return tf.constant(np.clip(images, -1, 1), tf.float32)


def learn(model, steps, labels=None):
    """The figures of the last epoch, of `steps` batches of 16 pictures."""
    data = (pictures(16 * 8),) if labels is None else (pictures(16 * 8), labels)
    batches = tf.data.Dataset.from_tensor_slices(data if labels is not None else data[0]).repeat().batch(16)
    history = model.fit(batches, steps_per_epoch=steps // 4, epochs=4, verbose=0, shuffle=False).history
    return {name: (values[0], values[-1]) for name, values in history.items()}


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_four_rotations_are_quarter_turns_counter_clockwise() -> None:
    image = tf.reshape(tf.range(4.0), (1, 2, 2, 1))  # 0 1 / 2 3
    rotated, turns = four_rotations(tf.concat([image, image + 10], axis=0))
    np.testing.assert_array_equal(turns, [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(rotated[0, ..., 0], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(rotated[2, ..., 0], [[1, 3], [0, 2]])
    np.testing.assert_array_equal(rotated[7, ..., 0], [[12, 10], [13, 11]])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "steps", "least"), [("rotation", 60, 0.6), ("context", 120, 0.22), ("jigsaw", 160, 0.2)]
)
def test_a_task_is_learnt(method, steps, least) -> None:
    """Chance: 1/4 of the rotations, 1/8 of the places, 1/64 of the orders."""
    assert learn(make(method), steps)["pretext_accuracy"][1] > least


@pytest.mark.slow
def test_simclr_is_learnt() -> None:
    """Slowly: these pictures differ in little but their colours, which the views change."""
    before, after = learn(make("simclr"), 160)["pretext_loss"]
    assert after < 0.96 * before


@pytest.mark.slow
def test_inpainting_is_learnt() -> None:
    """The pictures' middle varies by about 0.1 around its mean; the hole itself is grey."""
    before, after = learn(make("inpainting"), 80)["pretext_loss"]
    assert after < 0.5 * before


@pytest.mark.slow
def test_colorization_is_learnt() -> None:
    """484 bins; the pictures hold some dozens."""
    figures = learn(make("colorization"), 80)
    assert figures["pretext_loss"][1] < 0.8 * figures["pretext_loss"][0]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["context", "jigsaw", "simclr"])
def test_draws_are_functions_of_seed_and_step(method) -> None:
    model, images = make(method, seed=5), pictures(8)
    losses = [float(model.figures(images, None, step, training=False)["pretext_loss"]) for step in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]
    other = make(method, seed=6)
    other.set_weights(model.get_weights())
    assert float(other.figures(images, None, 3, training=False)["pretext_loss"]) != losses[0]


# --- supervised -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_supervised_learns_labels() -> None:
    """Labels that say whether the picture's upper left corner is red rather than blue; chance: 0.5."""
    corner = pictures(16 * 8)[:, 0, 0]
    labels = tf.cast(corner[:, 0] > corner[:, 2], tf.int32)
    assert learn(make("supervised", classes=2), 80, labels)["pretext_accuracy"][1] > 0.75


def test_supervised_wants_classes() -> None:
    with pytest.raises(ValueError, match="classes"):
        make("supervised")


@pytest.mark.slow
def test_labelled_stream_pairs_photos_with_their_labels() -> None:
    """Without variation, each image must be the photo whose label it carries; and batch s depends on (seed, s) only."""
    config = CONFIG.replace(
        **{"data.crop_area_min": 1.0, "data.crop_aspect_min": 1.0, "data.flip": False, "data.brightness": 0.0,
           "data.saturation": 0.0, "data.center_crop": 1.0}
    )  # fmt: skip
    source = load("photos", image_size=SIZE, config=config.data)
    centred = {}
    for images, labels in source.labelled("train", 64):
        for image, label in zip(images.numpy(), labels.numpy(), strict=True):
            centred.setdefault(int(label), []).append(image)
    stream = labelled_stream(source, 8, seed=3)
    batches = list(stream.take(4))
    for image, label in zip(batches[0][0].numpy(), batches[0][1].numpy(), strict=True):
        distances = {other: min(np.abs(image - one).mean() for one in ones) for other, ones in centred.items()}
        assert min(distances, key=distances.get) == label and distances[label] < 0.05
    later = next(iter(labelled_stream(source, 8, seed=3, first_step=3)))
    np.testing.assert_array_equal(later[0], batches[3][0])
    np.testing.assert_array_equal(later[1], batches[3][1])
    other = next(iter(labelled_stream(source, 8, seed=4)))
    assert not np.array_equal(other[1], batches[0][1])


# --- what all share ---------------------------------------------------------------------------------------------------


def test_weight_decay_and_heads_are_trained() -> None:
    """One step with a huge weight decay and no other gradient to speak of shrinks every kernel, head included."""
    model = make("rotation", weight_decay=1e4)
    before = {v.path: float(tf.norm(v)) for v in model.trainable_variables if len(v.shape) > 1}
    one_step(model, pictures(4))
    after = {v.path: float(tf.norm(v)) for v in model.trainable_variables if len(v.shape) > 1}
    assert len(before) == 7 and all(after[name] < before[name] for name in before)


def test_a_rival_is_saved_and_loaded(tmp_path) -> None:
    model = make("rotation")
    images = pictures(4)
    one_step(model, images)
    model.save(tmp_path / "rotation.keras")
    again = keras.saving.load_model(tmp_path / "rotation.keras", compile=False)
    expected, found = model.figures(images, None, 0, training=False), again.figures(images, None, 0, training=False)
    assert float(found["pretext_loss"]) == pytest.approx(float(expected["pretext_loss"]), abs=1e-6)
    assert again.units == 32 and again.seed == model.seed
