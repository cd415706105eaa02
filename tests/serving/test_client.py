"""The clients: retries, deadlines, limits, and the inputs they take."""

import time
from typing import Any

import numpy as np
import pytest

from tests.support.flaky_server import IMAGES, Flaky, predict
from tf_spot import UserError
from tf_spot.serving import AsyncClient, Client, MessageTooLarge, ServingError

both = pytest.mark.parametrize("kind", [Client, AsyncClient])


@both
def test_a_busy_server_is_asked_again(flaky: Flaky, kind: type) -> None:
    flaky.statuses = [503, 429, 503]
    assert predict(kind, flaky.url)["score"].tolist() == [0.0] * 4
    assert len(flaky.asked) == 4
    waits = np.diff(flaky.times)  # 0.1, 0.2, 0.4 seconds, of which at least half
    assert (waits >= [0.05, 0.1, 0.2]).all()


@both
@pytest.mark.parametrize("status", [400, 404, 500, 413])
def test_other_errors_are_not_tried_again(flaky: Flaky, kind: type, status: int) -> None:
    flaky.statuses = [status]
    with pytest.raises(ServingError, match=f"status {status}"):
        predict(kind, flaky.url)
    assert len(flaky.asked) == 1


@both
def test_retries_run_out(flaky: Flaky, kind: type) -> None:
    flaky.statuses = [503] * 9
    with pytest.raises(ServingError) as caught:
        predict(kind, flaky.url, retries=2)
    assert caught.value.code == "UNAVAILABLE" and len(flaky.asked) == 3


@both
def test_the_deadline_is_of_the_whole_call(flaky: Flaky, kind: type) -> None:
    """Four batches of 0.2 s do not fit in half a second, though each alone would."""
    flaky.delay = 0.2
    started = time.monotonic()
    with pytest.raises(ServingError) as caught:
        predict(kind, flaky.url, batch_size=1, timeout=0.5)
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert 0.3 < time.monotonic() - started < 2
    assert len(flaky.asked) < 4


@both
@pytest.mark.parametrize("delay", [0.0, 0.8])  # the time runs out in a wait, or in a further attempt
def test_no_wait_goes_past_the_deadline(flaky: Flaky, kind: type, delay: float) -> None:
    flaky.statuses, flaky.delay = [503] * 100, delay
    started = time.monotonic()
    with pytest.raises(ServingError) as caught:
        predict(kind, flaky.url, retries=100, timeout=1.4)
    assert caught.value.code == "UNAVAILABLE"  # the last word of the server, not only that time is up
    assert time.monotonic() - started < 4


@both
def test_big_inputs_are_split(flaky: Flaky, kind: type) -> None:
    assert predict(kind, flaky.url, batch_size=3)["score"].shape == (4,)
    assert [len(asked["inputs"]["images"]) for asked in flaky.asked] == [3, 1]


@both
@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_nobody_there(kind: type, protocol: str) -> None:
    target = "http://127.0.0.1:9" if protocol == "rest" else "127.0.0.1:9"
    with pytest.raises(ServingError) as caught:
        predict(kind, target, protocol=protocol, retries=1)
    assert caught.value.code == "UNAVAILABLE"


@both
def test_the_size_limit_is_named(flaky: Flaky, kind: type) -> None:
    with pytest.raises(MessageTooLarge, match="max_message_bytes=300"):
        predict(kind, flaky.url, max_message_bytes=300)
    assert flaky.asked == []
    with pytest.raises(MessageTooLarge, match="max_message_bytes=100"):
        predict(kind, "127.0.0.1:9", protocol="grpc", max_message_bytes=100)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"protocol": "http"}, "'grpc' or 'rest'"),
        ({"version": 1, "label": "stable"}, "not both"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"timeout": 0}, "timeout=0"),
        ({"retries": -1}, "retries=-1"),
    ],
)
def test_settings_that_cannot_be(options: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Client("http://127.0.0.1:9", **{"model": "m", "protocol": "rest"} | options)


@pytest.mark.parametrize("images", [[], [1, 2], "text", np.zeros((0, 2, 2, 3)), {"a": [1], "b": [1, 2]}])
def test_images_that_cannot_be(flaky: Flaky, images: Any) -> None:
    with Client(flaky.url, model="m", protocol="rest") as client, pytest.raises(UserError):
        client.predict(images)


def test_double_precision_is_sent_as_single_and_bytes_stay_whole() -> None:
    with Client("http://127.0.0.1:9", model="m", protocol="rest") as client:
        assert client._requests(IMAGES.astype(np.float64))[1][0]["images"].dtype == np.float32
        signature, [part] = client._requests([b"a\0", b"b"])
        assert signature == "image_bytes" and part["image_bytes"].tolist() == [b"a\0", b"b"]
        assert client._requests({"x": [b"a\0"]})[1][0]["x"].tolist() == [b"a\0"]
