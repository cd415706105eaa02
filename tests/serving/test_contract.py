"""The protocol: the same tests for `tf-spot serve` and for a TensorFlow Serving.

By default a local server is started. To test a TensorFlow Serving, write the models with `python
tests/support/serving_models.py DIR`, serve DIR/contract with all its versions and the label stable=1, and set
TF_SPOT_SERVING_URL=http://host:8501 and TF_SPOT_SERVING_TARGET=host:8500.
"""

import asyncio
import base64
import os
from collections.abc import Iterator

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.support.serving_models import write_version
from tests.support.serving_process import Server
from tf_spot.serving import AsyncClient, Client, ServingError

IMAGES = np.arange(3 * 48, dtype=np.float32).reshape(3, 4, 4, 3) / 144
MEANS = IMAGES.mean((1, 2, 3))
WHITE = tf.io.encode_png(np.full((5, 4, 3), 255, np.uint8)).numpy()  # mean 1
BLACK = tf.io.encode_png(np.zeros((5, 4, 3), np.uint8)).numpy()  # mean -1


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if "TF_SPOT_SERVING_URL" in os.environ:
        yield {"rest": os.environ["TF_SPOT_SERVING_URL"], "grpc": os.environ["TF_SPOT_SERVING_TARGET"]}
        return
    folder = tmp_path_factory.mktemp("models") / "contract"
    for version in (1, 2):
        write_version(folder, version)
    server = Server(folder, "--label", "stable=1")
    yield {"rest": server.url, "grpc": server.target}
    server.stop()


@pytest.fixture
def url(places: dict[str, str]) -> str:
    return places["rest"] + "/v1/models/contract"


@pytest.fixture(params=["rest", "grpc"])
def protocol(request: pytest.FixtureRequest) -> str:
    return request.param


def connect(places: dict[str, str], protocol: str, **options: object) -> Client:
    return Client(places[protocol], **{"model": "contract", "protocol": protocol} | options)


def test_predict_images(places: dict[str, str], protocol: str) -> None:
    with connect(places, protocol) as client:
        outputs = client.predict(IMAGES)
    assert sorted(outputs) == ["name", "name_bytes", "pixels", "score"]
    np.testing.assert_allclose(outputs["score"], MEANS + 2, rtol=1e-6)
    np.testing.assert_array_equal(outputs["pixels"], IMAGES[:, 0, 0])
    assert outputs["score"].dtype == outputs["pixels"].dtype == np.float32
    assert outputs["name"].tolist() == outputs["name_bytes"].tolist() == [b"2", b"2", b"2"]


def test_predict_bytes(places: dict[str, str], protocol: str) -> None:
    with connect(places, protocol) as client:
        outputs = client.predict([WHITE, BLACK])
    assert outputs["score"].tolist() == [3.0, 1.0]


@pytest.mark.parametrize(("which", "version"), [({"version": 1}, 1), ({"version": 2}, 2), ({"label": "stable"}, 1)])
def test_versions_and_labels(places: dict[str, str], protocol: str, which: dict, version: int) -> None:
    with connect(places, protocol, **which) as client:
        np.testing.assert_allclose(client.predict(IMAGES)["score"], MEANS + version, rtol=1e-6)
        assert client.metadata()["version"] == version
        assert client.status() == {version: {"state": "AVAILABLE", "code": "OK", "message": ""}}


def test_many_rows_are_sent_in_batches_and_keep_their_order(places: dict[str, str], protocol: str) -> None:
    images = np.repeat(np.linspace(-1, 1, 70, dtype=np.float32), 48).reshape(70, 4, 4, 3)
    with connect(places, protocol, batch_size=8) as client:
        np.testing.assert_allclose(client.predict(images)["score"], images[:, 0, 0, 0] + 2, atol=1e-6)


def test_status_and_metadata(places: dict[str, str], protocol: str) -> None:
    with connect(places, protocol) as client:
        assert sorted(client.status()) == [1, 2]
        signatures = client.metadata()["signatures"]
    assert signatures["serving_default"]["inputs"] == {"images": {"dtype": "float32", "shape": [None, 4, 4, 3]}}
    assert signatures["image_bytes"]["inputs"] == {"image_bytes": {"dtype": "bytes", "shape": [None]}}
    assert signatures["image_bytes"]["outputs"] == {"score": {"dtype": "float32", "shape": [None]}}


def test_the_asynchronous_client(places: dict[str, str], protocol: str) -> None:
    async def ask() -> tuple:
        async with AsyncClient(places[protocol], model="contract", protocol=protocol, batch_size=2) as client:
            many = await asyncio.gather(*[client.predict(IMAGES * factor) for factor in range(8)])
            return many, await client.status(), await client.metadata()

    many, status, metadata = asyncio.run(ask())
    for factor, outputs in enumerate(many):
        np.testing.assert_allclose(outputs["score"], MEANS * factor + 2, rtol=1e-6)
    assert sorted(status) == [1, 2] and metadata["version"] == 2


def test_a_signature_of_fixed_shape(places: dict[str, str]) -> None:
    answer = httpx.post(
        places["rest"] + "/v1/models/contract:predict",
        json={"signature_name": "fixed", "inputs": {"a": [[1, 2], [3, 4]], "b": 5}},
    )
    assert answer.json() == {"outputs": 15}


WRONG = {  # what is asked: the code
    "unknown model": ({"model": "nobody"}, IMAGES, "NOT_FOUND"),
    "unknown version": ({"version": 9}, IMAGES, "NOT_FOUND"),
    "unknown signature": ({"signature": "nothing"}, IMAGES, "INVALID_ARGUMENT"),
    "wrong rank": ({}, IMAGES[0], "INVALID_ARGUMENT"),
    "wrong size": ({}, np.zeros((1, 5, 4, 3)), "INVALID_ARGUMENT"),
    "wrong dtype": ({}, {"images": [b"a"]}, "INVALID_ARGUMENT"),
    "wrong name": ({}, {"pictures": IMAGES}, "INVALID_ARGUMENT"),
    "truncated image": ({}, [WHITE[:40]], "INVALID_ARGUMENT"),
    "not an image": ({}, [b"hello"], "INVALID_ARGUMENT"),
    "huge image": ({}, [WHITE + b"x" * 3000], "INVALID_ARGUMENT"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_requests(places: dict[str, str], protocol: str, case: str) -> None:
    options, images, code = WRONG[case]
    with connect(places, protocol, **options) as client, pytest.raises(ServingError) as caught:
        client.predict(images)
    assert caught.value.code == code
    with connect(places, protocol) as client:  # and it goes on serving
        assert client.predict([WHITE])["score"].tolist() == [3.0]


def test_rows_and_columns(url: str) -> None:
    row, column = IMAGES[:1].tolist(), {"images": IMAGES[:1].tolist()}
    named = httpx.post(url + ":predict", json={"instances": [{"images": row[0]}]}).json()
    assert named == httpx.post(url + ":predict", json={"instances": row}).json()
    assert sorted(named["predictions"][0]) == ["name", "name_bytes", "pixels", "score"]
    assert named["predictions"][0]["name"] == "2"
    assert named["predictions"][0]["name_bytes"] == {"b64": base64.b64encode(b"2").decode()}
    outputs = httpx.post(url + ":predict", json={"inputs": column}).json()["outputs"]
    assert outputs == httpx.post(url + ":predict", json={"inputs": row}).json()["outputs"]
    assert outputs["score"] == [named["predictions"][0]["score"]]


def test_a_single_output_has_no_name(url: str) -> None:
    image = {"b64": base64.b64encode(WHITE).decode()}
    for instance in (image, {"image_bytes": image}):
        body = {"signature_name": "image_bytes", "instances": [instance, instance]}
        assert httpx.post(url + ":predict", json=body).json() == {"predictions": [3.0, 3.0]}
    body = {"signature_name": "image_bytes", "inputs": [image]}
    assert httpx.post(url + ":predict", json=body).json() == {"outputs": [3.0]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", ":predict", b'{"instances": [', 400),
        ("POST", ":predict", b"[]", 400),
        ("POST", ":predict", b"{}", 400),
        ("POST", ":predict", b'{"instances": []}', 400),
        ("POST", ":predict", b'{"instances": [[[1.0], [1.0, 2.0]]]}', 400),
        ("POST", ":predict", b'{"signature_name": "image_bytes", "instances": [{"b64": "?"}]}', 400),
        ("POST", "/versions/9:predict", b'{"instances": [1]}', 404),
        ("GET", "/versions/9", b"", 404),
        ("GET", "/versions/9/metadata", b"", 404),
        ("GET", "/versions/x", b"", 400),
    ],
)
def test_wrong_http_requests(url: str, method: str, path: str, body: bytes, status: int) -> None:
    answer = httpx.request(method, url + path, content=body)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"] and answer.json()["error"]


def test_grpc_output_filter_and_model_spec(places: dict[str, str]) -> None:
    request = predict_pb2.PredictRequest(output_filter=["score"])
    request.model_spec.name = "contract"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(IMAGES))
    with grpc.insecure_channel(places["grpc"]) as channel:
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    assert list(response.outputs) == ["score"]
    assert response.model_spec.name == "contract"
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == "serving_default"
