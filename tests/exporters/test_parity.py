"""Differences between an artifact's outputs and its model's: how they are measured, and which are refused."""

import numpy as np
import pytest

from tests.exporters.conftest import NAMES
from tf_spot.errors import UserError
from tf_spot.exporters.parity import (
    _difference,
    artifact_outputs,
    keras_outputs,
    measure,
    other_sizes,
    refuse_if_different,
    refuse_if_worse,
    refuse_other_names,
)
from tf_spot.exporters.signature import Signature


def test_an_artifact_for_any_size_is_compared_at_two_more(photos) -> None:
    resized = other_sizes(photos)
    assert {name: value.shape for name, value in resized.items()} == {
        "32x48": (7, 32, 48, 3),
        "37x37": (7, 37, 37, 3),
    }
    assert abs(resized["37x37"].mean() - photos[:7].mean()) < 2  # they are the photos
    outputs = {"1/a": np.array([1.0]), "2 at 3x4/a": np.array([5.0, 7.0])}
    differences = measure(outputs, {"a": np.array([1.0])}, {"3x4": {"a": np.array([5.0, 6.0])}})
    assert differences["1"]["a"]["largest_difference"] == 0
    assert differences["2 at 3x4"]["a"]["largest_difference"] == 1


def test_outputs_of_the_model_do_not_depend_on_the_chunks(spotter, photos, monkeypatch) -> None:
    signature = Signature(spotter, "features")
    whole = keras_outputs(signature, photos[:5])
    monkeypatch.setattr("tf_spot.exporters.parity.CHUNK", 2)
    for name, value in keras_outputs(signature, photos[:5]).items():
        assert value.shape == whole[name].shape and len(value) == 5
        np.testing.assert_allclose(value, whole[name], rtol=1e-4, atol=1e-4)


def test_differences_by_hand() -> None:
    difference = _difference(np.array([3.0, 4.5]), np.array([3.0, -4.0]) * [1, -1])
    assert difference["largest_difference"] == 0.5 and difference["scale"] == 4 and difference["share"] == 0.125
    assert difference["relative_rms"] == pytest.approx(0.1)  # 0.5 over the norm 5


@pytest.mark.parametrize(("share", "rms", "quantization", "refused"), [
    (9e-5, 0.0, "none", False), (2e-4, 0.0, "none", True), (float("nan"), 0.0, "none", True),
    (0.4, 0.2, "int8", False), (0.4, 0.3, "int8", True), (0.4, float("nan"), "int8", True),
])  # fmt: skip
def test_what_differs_is_refused(share, rms, quantization, refused) -> None:
    differences = {"7": {"conv1": {"share": share, "relative_rms": rms}}}
    if not refused:
        return refuse_if_different(differences, quantization)
    with pytest.raises(UserError, match="conv1 at batch 7"):
        refuse_if_different(differences, quantization)


def test_what_is_measured() -> None:
    outputs = {"1/a": np.array([1.0]), "3/a": np.array([1.0, 2.0, 1.5])}
    differences = measure(outputs, {"a": np.array([1.0, 2.0])})  # photos repeated: 1, 2, 1
    assert differences["1"]["a"]["largest_difference"] == 0 and differences["3"]["a"]["largest_difference"] == 0.5
    for wrong in ({"1/b": np.array([1.0])}, {"1/a": np.array([[1.0]])}, {"1/a": np.array([1.0]), "2/c": np.zeros(2)}):
        with pytest.raises(UserError, match="the artifact gives"):
            measure(wrong, {"a": np.array([1.0, 2.0])})


def test_only_what_is_a_view_of_the_outputs_may_lack_some() -> None:
    expected = {"conv1": np.array([1.0]), "embedding": np.array([2.0])}
    for key in ("serving_default/embedding", "image_bytes/embedding", "conv1/conv1"):
        (name,) = measure({key: expected[key.split("/")[1]]}, expected)
        assert name == key.split("/")[0]
    for key in ("7/embedding", "conv1/embedding", "image_bytes/conv1", "image_bytes_maps/embedding"):
        with pytest.raises(UserError, match="the artifact gives"):
            measure({key: expected[key.split("/")[1]]}, expected)


@pytest.mark.parametrize(("was", "now", "worse"), [
    (0.01, 0.019, False), (0.01, 0.021, True), (0.01, float("nan"), True), (1e-7, 9e-5, False), (1e-7, 2e-4, True),
])  # fmt: skip
def test_what_is_clearly_worse_than_recorded_is_refused(was, now, worse) -> None:
    recorded, differences = ({"7": {"conv1": {"relative_rms": value}}} for value in (was, now))
    if not worse:
        return refuse_if_worse(differences, recorded)
    with pytest.raises(UserError, match="worse than when it was exported: conv1 at batch 7"):
        refuse_if_worse(differences, recorded)


def test_names_of_classes_are_compared() -> None:
    given = np.array([[name.encode() for name in NAMES]] * 2)
    outputs = {"image_bytes/class_names": given, "image_bytes/probabilities": np.zeros((2, 3))}
    refuse_other_names(dict(outputs), NAMES)
    refuse_other_names({"1/probabilities": np.zeros((2, 3))}, NAMES)  # no such signature
    for changed, names in ((outputs, NAMES[::-1]), ({"image_bytes/probabilities": np.zeros((2, 3))}, NAMES)):
        with pytest.raises(UserError, match="other names"):
            refuse_other_names(dict(changed), names)


def test_an_artifact_that_does_not_run_is_refused(photos, tmp_path) -> None:
    (tmp_path / "spoiled.onnx").write_bytes(b"not a model")
    with pytest.raises(UserError, match="does not run in its own runtime: .*spoiled.onnx"):
        artifact_outputs("onnx", tmp_path / "spoiled.onnx", photos[:1])
