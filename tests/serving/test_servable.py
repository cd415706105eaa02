"""One loaded version: the inputs it refuses, and its warm-up requests."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests.support.serving_models import write_version
from tf_spot.serving.errors import ServingError
from tf_spot.serving.servable import Servable, refuse_odd_files

IMAGES = np.zeros((2, 4, 4, 3), np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("model"), 7)


@pytest.fixture(scope="module")
def servable(path: Path) -> Servable:
    return Servable(path, 7)


def test_it_runs(servable: Servable) -> None:
    servable.check("serving_default", {"images": IMAGES})
    outputs = servable.run("serving_default", {"images": IMAGES})
    assert outputs["score"].tolist() == [7, 7] and outputs["name"].tolist() == [b"7", b"7"]
    assert set(servable.signature_defs) == {"serving_default", "image_bytes", "slow", "fixed"}


def test_which_signatures_are_batched(servable: Servable) -> None:
    assert servable.batched("serving_default") and servable.batched("image_bytes")
    assert not servable.batched("fixed")


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, r"takes inputs \['images'\], received \[\]"),
        ({"images": IMAGES.astype(np.uint8)}, "must be float32, received uint8"),
        ({"images": np.array([b"a"], object)}, "must be float32, received string"),
        ({"images": IMAGES[0]}, r"must have shape \(any, 4, 4, 3\), received \(4, 4, 3\)"),
        ({"images": IMAGES[..., :2]}, r"received \(2, 4, 4, 2\)"),
    ],
)
def test_inputs_that_do_not_fit(servable: Servable, inputs: dict, told: str) -> None:
    with pytest.raises(ServingError, match=told) as caught:
        servable.check("serving_default", inputs)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_what_the_model_says_is_told_in_one_line(servable: Servable) -> None:
    with pytest.raises(ServingError) as caught:
        servable.run("image_bytes", {"image_bytes": np.array([b"no image"], object)})
    assert caught.value.code == "INVALID_ARGUMENT"
    assert "PNG" in caught.value.message and "\n" not in caught.value.message and "node" not in caught.value.message


def test_warm_up_requests_are_run(path: Path) -> None:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["images"].CopyFrom(tf.make_tensor_proto(IMAGES))
    file = path / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir()
    for signature, fits in (("", True), ("serving_default", True), ("image_bytes", False)):
        log.predict_log.request.model_spec.signature_name = signature
        with tf.io.TFRecordWriter(str(file)) as writer:
            writer.write(log.SerializeToString())
        if fits:
            assert Servable(path, 7).version == 7
        else:
            with pytest.raises(ServingError, match="takes inputs"):
                Servable(path, 7)


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xff", b"text"])
def test_a_folder_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ServingError) as caught:
        Servable(tmp_path, 1)
    assert caught.value.code == "DATA_LOSS"


@pytest.mark.parametrize("name", ["assets.extra/tf_serving_warmup_requests", "variables/variables.index", "odd"])
@pytest.mark.parametrize("target", [None, "/dev/zero", "/gone"])
def test_only_regular_files_are_opened(path: Path, tmp_path: Path, name: str, target: str | None) -> None:
    """Opening a FIFO waits for ever, and a device never ends."""
    file = Path(shutil.copytree(path, tmp_path / "1")) / name
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    os.mkfifo(file) if target is None else file.symlink_to(target)
    with pytest.raises(ServingError, match=f"{name} is not a regular file"):
        Servable(tmp_path / "1", 1)
    regular = tmp_path / "1" / "link"
    file.unlink()
    regular.symlink_to(tmp_path / "1" / "saved_model.pb")
    refuse_odd_files(tmp_path / "1")  # a link to a regular file is one
