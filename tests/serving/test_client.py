"""The clients' own part: retries, deadlines, limits, and what they import."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from tf_spot import UserError
from tf_spot.serving import AsyncClient, Client, MessageTooLarge, ServingError

IMAGES = np.zeros((4, 2, 2, 3), np.float32)
SCORE = {"dtype": "DT_FLOAT", "tensor_shape": {"unknown_rank": False, "dim": [{"size": "-1"}]}, "name": "s:0"}
METADATA = {
    "model_spec": {"name": "m", "version": "1"},
    "metadata": {"signature_def": {"signature_def": {"serving_default": {"inputs": {}, "outputs": {"score": SCORE}}}}},
}


class Flaky(ThreadingHTTPServer):
    """Answers predict requests with the statuses it is told, then with zeros; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.asked: list[Any] = []
        self.times: list[float] = []
        self.delay = 0.0
        self.trickle = False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Flaky

    def do_GET(self) -> None:
        self._answer(200, METADATA)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        self.server.times.append(time.monotonic())
        time.sleep(self.server.delay)
        if self.server.trickle:
            self._trickle()
            return
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        rows = len(asked["inputs"]["images"])
        self._answer(status, {"outputs": [0.0] * rows} if status == 200 else {"error": f"status {status}"})

    def _answer(self, status: int, answer: Any) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _trickle(self) -> None:
        """A space each 20 ms: never silent for long, and never done."""
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):  # until the client hangs up
            while True:
                self.wfile.write(b" ")
                time.sleep(0.02)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def flaky() -> Iterator[Flaky]:
    server = Flaky()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def predict(kind: type, url: str, **options: Any) -> Any:
    options = {"model": "m", "protocol": "rest"} | options
    if kind is Client:
        with Client(url, **options) as client:
            return client.predict(IMAGES)

    async def ask() -> Any:
        async with AsyncClient(url, **options) as client:
            return await client.predict(IMAGES)

    return asyncio.run(ask())


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
def test_an_answer_that_trickles_in(flaky: Flaky, kind: type) -> None:
    flaky.trickle = True
    started = time.monotonic()
    with pytest.raises(ServingError, match="too slowly") as caught:
        predict(kind, flaky.url, timeout=0.4)
    assert caught.value.code == "DEADLINE_EXCEEDED" and time.monotonic() - started < 2


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


def test_an_answer_over_the_limit(flaky: Flaky) -> None:
    with Client(flaky.url, model="m", protocol="rest", max_message_bytes=200) as client:
        with pytest.raises(MessageTooLarge, match="an answer is over max_message_bytes=200"):
            client.metadata()


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


def test_rest_needs_no_tensorflow(flaky: Flaky) -> None:
    code = (
        "import sys, numpy as np\n"
        "from tf_spot.serving import Client\n"
        f"with Client({flaky.url!r}, model='m', protocol='rest') as client:\n"
        "    client.predict(np.zeros((1, 2, 2, 3))); client.metadata()\n"
        "print({'tensorflow', 'keras', 'grpc'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(("module", "protocol"), [("httpx", "rest"), ("tensorflow_serving", "grpc")])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str, protocol: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"{module}.apis", raising=False)
    with pytest.raises(UserError, match=r"pip install tf-spot\[serving\]"):
        Client("127.0.0.1:9", model="m", protocol=protocol)
