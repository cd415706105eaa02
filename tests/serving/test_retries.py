"""When a call is sent again, and when not."""

import time

import numpy as np
import pytest

from tf_spot.serving.errors import MessageTooLarge, ServingError
from tf_spot.serving.retries import Retries


def test_waits_double_and_end_with_the_retries() -> None:
    retries, error = Retries(8, time.monotonic() + 1000), ServingError("UNAVAILABLE", "away")
    waits = [retries.wait_after(error) for _ in range(8)]
    longest = np.minimum(0.1 * 2.0 ** np.arange(8), 5.0)
    assert (waits <= longest).all() and (waits >= longest / 2).all()
    with pytest.raises(ServingError, match="away"):
        retries.wait_after(error)


@pytest.mark.parametrize("error", [ServingError("NOT_FOUND", "no model"), MessageTooLarge("21 bytes")])
def test_errors_that_stay_are_raised_at_once(error: ServingError) -> None:
    with pytest.raises(ServingError) as caught:
        Retries(5, time.monotonic() + 1000).wait_after(error)
    assert caught.value is error


def test_no_wait_goes_past_the_deadline() -> None:
    retries, error = Retries(5, time.monotonic() + 0.04), ServingError("UNAVAILABLE", "away")
    assert 0 < retries.time_left() <= 0.04
    with pytest.raises(ServingError, match="away"):  # the first wait is at least 0.05 s
        retries.wait_after(error)
    with pytest.raises(ServingError, match="timeout has passed"):
        Retries(5, time.monotonic()).time_left()


def test_the_last_answer_of_the_server_says_more_than_that_time_is_up() -> None:
    retries, busy = Retries(5, time.monotonic() + 1000), ServingError("RESOURCE_EXHAUSTED", "the queue is full")
    retries.wait_after(busy)
    with pytest.raises(ServingError) as caught:
        retries.wait_after(ServingError("DEADLINE_EXCEEDED", "too slow"))
    assert caught.value is busy
    with pytest.raises(ServingError, match="too slow"):  # there was no other answer
        Retries(5, time.monotonic() + 1000).wait_after(ServingError("DEADLINE_EXCEEDED", "too slow"))
