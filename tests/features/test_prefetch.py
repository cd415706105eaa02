"""Features computed ahead of their use: their order, how far ahead, and where threads may not be used."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from tf_spot.features.prefetch import AHEAD, ahead, one_at_a_time


def test_batches_are_taken_a_little_ahead_and_come_in_order() -> None:
    read: list[int] = []

    def batches() -> Iterator[tuple[int, str]]:
        for number in range(6):
            read.append(number)
            yield number, f"rest {number}"

    def vectors_of(number: int) -> dict[str, np.ndarray]:
        time.sleep(0.02 * (number % 2 == 0))  # of two at once the later is done first
        return {"conv1": np.full(1, number)}

    found = []
    for vectors, rest in ahead(vectors_of, batches()):
        found.append((int(vectors["conv1"][0]), rest))
        assert len(read) <= len(found) + AHEAD
    assert found == [(number, f"rest {number}") for number in range(6)]
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda number: {"conv1": np.full(1, 1 // (3 - number))}, batches()))


def test_replicas_work_batch_by_batch() -> None:
    threads = set()
    with tf.distribute.MirroredStrategy(tf.config.list_logical_devices("CPU")).scope():
        found = list(ahead(lambda number: threads.add(threading.get_ident()) or number, [(0, "a"), (1, "b")]))  # type: ignore[func-returns-value, arg-type, return-value]
    assert found == [(0, "a"), (1, "b")] and threads == {threading.get_ident()}


def test_one_at_a_time_is_never_called_by_two_threads_at_once() -> None:
    inside, most = 0, 0

    def count(number: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1
        return number

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one_at_a_time(count), range(8))) == list(range(8))
    assert most == 1
