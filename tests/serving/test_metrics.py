"""What is counted, and under which code."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.support.serving_process import Server, counted, put, score
from tf_spot.serving.errors import ServingError
from tf_spot.serving.metrics import Metrics


@pytest.mark.parametrize(("error", "code"), [
    (None, "OK"), (ServingError("NOT_FOUND", ""), "NOT_FOUND"), (ValueError(), "INTERNAL"),
    (asyncio.CancelledError(), "CANCELLED"),
])  # fmt: skip
def test_a_request_is_counted_once_under_its_code(error: BaseException | None, code: str) -> None:
    metrics = Metrics()
    try:
        with metrics.predict("rest"):
            if error is not None:
                raise error
    except type(error or ValueError()) as caught:
        assert caught is error
    lines = metrics.text().decode().splitlines()
    counters = [line for line in lines if line.startswith("tf_spot_serving_requests_total")]
    assert counters == [f'tf_spot_serving_requests_total{{code="{code}",protocol="rest"}} 1.0']
    assert 'tf_spot_serving_request_seconds_count{protocol="rest"} 1.0' in lines


def test_two_servers_do_not_share_their_counters() -> None:
    first, second = Metrics(), Metrics()
    first.batch_rows.observe(3)
    assert b"tf_spot_serving_batch_rows_sum 3.0" in first.text()
    assert b"tf_spot_serving_batch_rows_sum 0.0" in second.text()


def test_metrics(server: Server, written: Path) -> None:
    put(server, written, 1)

    good = 'tf_spot_serving_requests_total{code="OK",protocol="grpc"}'
    bad = 'tf_spot_serving_requests_total{code="NOT_FOUND",protocol="rest"}'
    rows = "tf_spot_serving_batch_rows_sum"
    before = [counted(server, line) for line in (good, bad, rows)]
    score(server)
    httpx.post(f"{server.model_url}/versions/8:predict", json={"inputs": [1]})
    after = [counted(server, line) for line in (good, bad, rows)]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]
    assert counted(server, "tf_spot_serving_waiting_requests") == 0
