"""tfds:NAME, on a small data set written to disk and on mocked STL-10."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings

import numpy as np
import pytest
import tensorflow as tf

from tf_spot.config import PAPER
from tf_spot.data import load, tfds_prepare
from tf_spot.errors import UserError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its imports warn of their own deprecations
    import tensorflow_datasets as tfds

STILL = dataclasses.replace(
    PAPER.data, crop_area_min=1.0, crop_aspect_min=1.0, flip=False, brightness=0.0, saturation=0.0, center_crop=1.0
)
COUNT = 40


class GreySquares(tfds.core.GeneratorBasedBuilder):
    """Photo number n is grey n."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 1)),
            "label": tfds.features.ClassLabel(names=["a", "b"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(COUNT)), "test": self._generate_examples(range(100, 110))}

    def _generate_examples(self, levels):
        for level in levels:
            yield level, {"image": np.full((12, 12, 1), level, np.uint8), "label": level % 2}


class WithheldSquares(GreySquares):
    """The labels of the test photos are withheld; those of other photos are known."""

    VERSION = tfds.core.Version("1.0.0")

    def _split_generators(self, dl_manager):
        known = {"train": self._generate_examples(range(COUNT)), "validation": self._generate_examples(range(50, 56))}
        return known | {"test": ((n, example | {"label": -1}) for n, example in self._generate_examples(range(3)))}


def levels(batches):
    return [int(round(float(image[0, 0, 0] + 1) * 127.5)) for batch in batches for image in np.asarray(batch)]


@pytest.fixture(scope="module", autouse=True)
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    tfds.core.add_data_dir(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GreySquares(data_dir=folder).download_and_prepare()
        WithheldSquares(data_dir=folder).download_and_prepare()


@pytest.fixture(scope="module")
def source():
    return load("tfds:grey_squares", image_size=8, config=dataclasses.replace(STILL, held_out_share=0.1))


def test_splits_and_labels(source):
    assert (source.name, source.class_names) == ("grey_squares", ["a", "b"])
    assert [source.count(split) for split in ("unlabelled", "held_out", "train", "test")] == [36, 4, 40, 10]
    for split, wanted in (("train", range(COUNT)), ("test", range(100, 110))):
        seen = []
        for images, labels in source.labelled(split, 16):
            assert labels.numpy().tolist() == [level % 2 for level in levels([images])]
            seen += levels([images])
        assert sorted(seen) == list(wanted)


def test_a_test_split_whose_labels_are_withheld_is_passed_over():
    source = load("tfds:withheld_squares", image_size=8, config=STILL)
    ((images, labels),) = source.labelled("test", 16)
    assert sorted(levels([images])) == list(range(50, 56)) and min(labels) == 0
    counts = "[('unlabelled', 38), ('held_out', 2), ('train', 40), ('test', 3)]"
    as_before = hashlib.sha256(f"withheld_squares/1.0.0 {counts}".encode()).hexdigest()
    assert source.fingerprint == as_before, "runs of earlier versions can be resumed"


def test_held_out_photos_never_appear_in_training(source):
    held_out, seen = set(levels(source.held_out(8))), levels(source.unlabelled(6, num_steps=12))
    assert len(held_out) == 4 and not held_out & set(seen)
    assert sorted(seen[:36]) == sorted(seen[36:]) == sorted(set(range(COUNT)) - held_out)
    assert seen[:36] != seen[36:]


@pytest.mark.parametrize("first_step", [2, 4, 5])
def test_a_stream_goes_on_exactly_where_another_stopped(first_step):
    """36 photos in batches of 16: no step but the first begins an epoch."""
    source = load("tfds:grey_squares", image_size=8, config=dataclasses.replace(PAPER.data, held_out_share=0.1))
    whole = [batch.numpy() for batch in source.unlabelled(16, seed=5, num_steps=7)]
    rest = [batch.numpy() for batch in source.unlabelled(16, seed=5, first_step=first_step, num_steps=7 - first_step)]
    assert all((one == two).all() for one, two in zip(whole[first_step:], rest, strict=True))


def test_workers_share_every_batch():
    source = load("tfds:grey_squares", image_size=8, config=dataclasses.replace(PAPER.data, held_out_share=0.1))
    whole = source.unlabelled(16, seed=5, first_step=1, num_steps=4)
    shares = [source.unlabelled(16, seed=5, first_step=1, num_steps=4, share=(i, 2)) for i in range(2)]
    for batch, *parts in zip(whole, *shares, strict=True):
        np.testing.assert_array_equal(batch, np.concatenate(parts))


def test_seeds(source):
    one, two, other = (levels(source.unlabelled(6, seed=seed, num_steps=6)) for seed in (1, 1, 2))
    assert one == two != other


def test_indices_say_which_photo_each_image_is_made_of(source):
    """Every index goes with one photo, over two epochs."""
    seen = levels(source.unlabelled(6, seed=1, first_step=1, num_steps=12))
    indices = np.concatenate(list(source.unlabelled_indices(6, seed=1, first_step=1).take(12).as_numpy_iterator()))
    assert len(set(zip(seen, indices.tolist(), strict=True))) == 36 == len(set(seen)) == len(set(indices.tolist()))


def test_large_photos_are_shrunk(source):
    small = load("tfds:grey_squares", image_size=4, config=STILL)
    for opened, side in ((source, 12), (small, 8)):  # 12 is less than twice 8, but not than twice 4
        shapes = [
            tuple(shape) for shape in opened.decoded("test").map(lambda photo, _: tf.shape(photo)).as_numpy_iterator()
        ]
        assert shapes == [(side, side, 3)] * 10


def test_in_any_order_is_as_stored(source):
    images, labels, indices = (np.concatenate(parts) for parts in zip(*source.in_any_order("test", 4), strict=True))
    assert indices.tolist() == list(range(10))
    ordered = [np.concatenate(parts) for parts in zip(*source.labelled("test", 4), strict=True)]
    np.testing.assert_array_equal(images, ordered[0])
    np.testing.assert_array_equal(labels, ordered[1])


def test_chunks_are_the_same_wherever_they_begin_and_whichever_are_asked_for(source):
    def indices(chunks):
        return [[batch.indices.tolist() for batch in batches] for batches in chunks]

    assert indices(source.in_chunks("test", 2, 4)) == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9]]]
    assert indices(source.in_chunks("test", 2, 4, first=4)) == [[[4, 5], [6, 7]], [[8, 9]]]
    chunks = source.in_chunks("test", 2, 4)
    next(chunks)
    assert indices([next(chunks)]) == [[[4, 5], [6, 7]]]


@pytest.fixture
def answering(monkeypatch):
    """A network; `mock_data` downloads nothing."""
    monkeypatch.setattr(tfds_prepare, "unanswered", lambda url: "")


def test_mocked_imagenet(answering):
    """The names of ImageNet in tensorflow-datasets: it has no test split with labels, but `validation`."""
    with tfds.testing.mock_data(num_examples=6):
        source = load("tfds:imagenet2012", image_size=32)
        assert (source.name, len(source.class_names), source.has_test) == ("imagenet2012", 1000, True)
        ((images, labels),) = source.labelled("test", 8)
        assert images.shape == (6, 32, 32, 3) and labels.dtype == tf.int32


def test_mocked_stl10(answering):
    with tfds.testing.mock_data(num_examples=24):
        source = load("tfds:stl10", image_size=32)
        assert len(source.class_names) == 10 and source.count("train") == 24
        ((images, labels),) = source.labelled("test", 32)
        assert images.shape == (24, 32, 32, 3) and set(labels.numpy()) <= set(range(10))
        whole = [batch.numpy() for batch in source.unlabelled(8, num_steps=5)]
        (last,) = source.unlabelled(8, first_step=4, num_steps=1)
        assert (whole[4] == last.numpy()).all()


def test_unknown_name():
    with pytest.raises(UserError, match="received: no_such_set, Dataset no_such_set not found") as caught:
        load("tfds:no_such_set", image_size=32)
    assert "\n" not in str(caught.value)
