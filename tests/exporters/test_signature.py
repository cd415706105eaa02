"""What is exported: each part computes what the model computes, and fits only its own kind of model."""

import numpy as np
import pytest
import tensorflow as tf

from tests.exporters.conftest import SIZE
from tf_spot.errors import UserError
from tf_spot.exporters.signature import OUTPUTS, PARTS, Signature
from tf_spot.inference.heat_map import spot
from tf_spot.models.classifier import Classifier


def test_sampled_photos_are_different_real_ones(photos) -> None:
    assert photos.dtype == np.uint8 and photos.shape == (100, SIZE, SIZE, 3)
    assert len({photo.tobytes() for photo in photos}) == 100


def test_features_take_photos_in_0_to_255(spotter, photos) -> None:
    images = photos[:3].astype(np.float32)
    outputs = Signature(spotter, "features").images(images)
    expected = spotter.backbone(images / 127.5 - 1)
    np.testing.assert_allclose(outputs["conv3"], expected["conv3"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(outputs["embedding"], np.mean(expected["conv5"], (1, 2)), rtol=1e-4, atol=1e-4)


def test_features_of_any_size(spotter) -> None:
    signature = Signature(spotter, "features", any_size=True)
    for photo in ((SIZE, SIZE), (SIZE + 9, 3 * SIZE)):
        images = np.random.default_rng(0).uniform(0, 255, (2, *photo, 3)).astype(np.float32)
        outputs, expected = signature.images(images), spotter.backbone(images / 127.5 - 1)
        np.testing.assert_allclose(outputs["conv5"], expected["conv5"], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(outputs["embedding"], np.mean(expected["conv5"], (1, 2)), rtol=1e-4, atol=1e-4)
    assert signature.image_size == SIZE
    assert Signature(spotter, "features").images.input_signature[0].shape[1] == SIZE


def test_parts_of_one_size_refuse_any_size(spotter, classifier) -> None:
    for model, name in ((spotter, "spotter"), (classifier, "classifier")):
        with pytest.raises(UserError, match=f"is for the part features; received: {name}, whose dense layer"):
            Signature(model, name, any_size=True)


def test_the_spotter_part_agrees_with_spot(spotter, photos) -> None:
    outputs = Signature(spotter, "spotter").images(photos[:1].astype(np.float32))
    seen = spot(spotter, photos[0])
    assert float(outputs["artifact_score"][0]) == pytest.approx(seen.score, abs=1e-5)
    np.testing.assert_allclose(outputs["heat_map"][0], seen.heat_map, atol=1e-5)


def test_the_classifier_part_gives_probabilities(classifier, photos) -> None:
    images = photos[:3].astype(np.float32)
    outputs = Signature(classifier, "classifier").images(images)
    expected = tf.nn.softmax(classifier(images / 127.5 - 1))
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)
    assert len(outputs) == 1 and np.std(expected) > 1e-3


def test_the_classifier_part_has_its_hidden_layers(spotter, photos) -> None:
    deep = Classifier(spotter.backbone, ["ant", "bee"], image_size=SIZE, hidden_units=(8, 4))
    images = photos[:3].astype(np.float32)
    outputs = Signature(deep, "classifier").images(images)
    np.testing.assert_allclose(outputs["probabilities"], tf.nn.softmax(deep(images / 127.5 - 1)), atol=1e-5)


def test_every_output_has_a_meaning(spotter, classifier) -> None:
    """The manifest looks the meaning up by the output's name."""
    names = set()
    for part in PARTS:
        signature = Signature(classifier if part == "classifier" else spotter, part)
        names |= set(signature.images.get_concrete_function().structured_outputs)
    assert names == set(OUTPUTS)


def test_a_signature_holds_the_variables_it_reads_and_no_others(spotter, classifier) -> None:
    for model, name, read in (
        (spotter, "features", spotter.backbone),
        (spotter, "spotter", spotter.discriminator),
        (classifier, "classifier", classifier),
    ):
        held = {id(variable) for variable in Signature(model, name).held}
        assert held == {id(variable.value) for variable in read.variables}
    assert len(spotter.discriminator.variables) > len(spotter.backbone.variables)


def test_a_part_needs_its_own_kind_of_model(spotter, classifier) -> None:
    with pytest.raises(UserError, match="of class Classifier; received: ArtifactSpotter; .*load_classifier"):
        Signature(spotter, "classifier")
    with pytest.raises(UserError, match="of class ArtifactSpotter; received: Classifier; .*load_spotter"):
        Signature(classifier, "features")
