"""The clients over REST: JSON in both directions, and answers without end."""

import subprocess
import sys
import time

import numpy as np
import pytest

from tests.support.flaky_server import Flaky, predict
from tf_spot import UserError
from tf_spot.serving import AsyncClient, Client, MessageTooLarge, ServingError
from tf_spot.serving.client_rest import _failure, _outputs, _tensor_info, _to_json

both = pytest.mark.parametrize("kind", [Client, AsyncClient])


def test_tensors_as_json() -> None:
    assert _to_json(np.array([[1.5], [2.0]])) == [[1.5], [2.0]]
    assert _to_json(np.array([b"\xff", "text"], object)) == [{"b64": "/w=="}, "text"]


def test_outputs_have_the_dtypes_of_the_metadata() -> None:
    known = {"score": {"dtype": "float32", "shape": [None]}}
    single = _outputs([1, 2], known)["score"]
    assert single.dtype == np.float32 and single.tolist() == [1, 2]
    named = _outputs({"score": [1], "other": [1.5]}, known | {"name": {"dtype": "bytes", "shape": [None]}})
    assert named["score"].dtype == np.float32 and named["other"].tolist() == [1.5]
    known = {"name": {"dtype": "bytes", "shape": [None]}}
    assert _outputs(["é", {"b64": "/w=="}], known)["name"].tolist() == ["é".encode(), b"\xff"]


@pytest.mark.parametrize(("dtype", "dims", "expected"), [
    ("DT_FLOAT", ["-1", "4"], {"dtype": "float32", "shape": [None, 4]}),
    ("DT_STRING", [], {"dtype": "bytes", "shape": []}),
    ("DT_INT64", None, {"dtype": "int64", "shape": None}),
])  # fmt: skip
def test_metadata_of_a_tensor(dtype: str, dims: list[str] | None, expected: dict) -> None:
    shape = {"unknown_rank": dims is None, "dim": [{"size": size, "name": ""} for size in dims or []]}
    assert _tensor_info({"dtype": dtype, "tensor_shape": shape}) == expected


def test_answers_that_are_errors() -> None:
    assert str(_failure(404, b'{"error": "no model"}')) == "NOT_FOUND: no model"
    assert str(_failure(502, b"<html>bad gateway</html>")) == "UNAVAILABLE: <html>bad gateway</html>"
    assert isinstance(_failure(413, b"{}"), MessageTooLarge)


@both
def test_an_answer_that_trickles_in(flaky: Flaky, kind: type) -> None:
    flaky.trickle = True
    started = time.monotonic()
    with pytest.raises(ServingError, match="too slowly") as caught:
        predict(kind, flaky.url, timeout=0.4)
    assert caught.value.code == "DEADLINE_EXCEEDED" and time.monotonic() - started < 2


def test_an_answer_over_the_limit(flaky: Flaky) -> None:
    with Client(flaky.url, model="m", protocol="rest", max_message_bytes=200) as client:
        with pytest.raises(MessageTooLarge, match="an answer is over max_message_bytes=200"):
            client.metadata()


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


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(UserError, match=r"pip install tf-spot\[serving\]"):
        Client("127.0.0.1:9", model="m", protocol="rest")
