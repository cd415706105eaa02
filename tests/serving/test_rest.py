"""The REST application in this process: paths, limits, and errors as JSON."""

import asyncio
from typing import Any

import httpx
import pytest

from tf_spot.serving.errors import ServingError
from tf_spot.serving.memory_budget import MemoryBudget
from tf_spot.serving.metrics import Metrics
from tf_spot.serving.rest import METRICS_PATH, rest_app
from tf_spot.serving.versions import VersionState


class Model:
    """Stands for a served model: records what is looked up, and has one version that ended."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.wanted: list[tuple] = []

    def find(self, *wanted: Any) -> None:
        self.wanted.append(wanted)
        raise self.error or ServingError("NOT_FOUND", "no such version")

    def status(self, *wanted: Any) -> dict[int, VersionState]:
        self.wanted.append(wanted)
        return {1: VersionState("END", "INVALID_ARGUMENT", "cannot be loaded: x")}


def send(model: Model, method: str, path: str, content: bytes = b"", max_message_bytes: int = 100) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(rest_app(model, None, Metrics(), MemoryBudget(10**9), max_message_bytes))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, content=content)

    return asyncio.run(call())


@pytest.mark.parametrize(("path", "wanted"), [
    ("/v1/models/m", ("m", None, None)), ("/v1/models/m/versions/12", ("m", 12, None)),
    ("/v1/models/m/labels/stable", ("m", None, "stable")),
])  # fmt: skip
def test_paths_name_model_version_or_label(path: str, wanted: tuple) -> None:
    model = Model()
    answer = send(model, "GET", path)
    assert answer.status_code == 200 and answer.json() == {
        "model_version_status": [
            {
                "version": "1",
                "state": "END",
                "status": {"error_code": "INVALID_ARGUMENT", "error_message": "cannot be loaded: x"},
            }
        ]
    }
    assert send(model, "GET", path + "/metadata").status_code == 404
    assert send(model, "POST", path + ":predict", b'{"inputs": [1]}').status_code == 404
    assert model.wanted == [wanted] * 3


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/v1/models/m"), ("GET", "/v1/models/m:predict"), ("GET", "/v1/models/m:classify"),
    ("GET", "/v1/models/m/versions/-1"), ("DELETE", "/v1/models/m"), ("GET", "/"),
    ("GET", "/v1/models/m/versions/" + "9" * 19),
])  # fmt: skip
def test_malformed_requests(method: str, path: str) -> None:
    answer = send(Model(), method, path)
    assert answer.status_code == 400 and answer.json() == {"error": f"Malformed request: {method} {path}"}


def test_a_body_over_the_limit_is_not_read() -> None:
    model = Model()
    answer = send(model, "POST", "/v1/models/m:predict", b" " * 101)
    assert answer.status_code == 413 and "limit of 100 bytes" in answer.json()["error"] and model.wanted == []


def test_an_unexpected_error_is_logged_and_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    answer = send(Model(ValueError("secret")), "GET", "/v1/models/m/metadata")
    assert answer.status_code == 500 and answer.json() == {"error": "internal error, see the server's log"}
    assert "secret" in caplog.text


def test_metrics_are_text() -> None:
    answer = send(Model(), "GET", METRICS_PATH)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "tf_spot_serving_waiting_requests 0.0" in answer.text
