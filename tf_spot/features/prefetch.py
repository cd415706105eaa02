"""Compute the features of the next batches while one is used: the single-threaded work in between costs no time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import tensorflow as tf

AHEAD = 2  # batches being computed while one is used
Inputs = TypeVar("Inputs")
Vectors = TypeVar("Vectors")
Rest = TypeVar("Rest")


def ahead(
    vectors_of: Callable[[Inputs], Vectors], batches: Iterable[tuple[Inputs, Rest]]
) -> Iterator[tuple[Vectors, Rest]]:
    """Yield (`vectors_of(images)`, rest) of every (images, rest), in order.

    The next `AHEAD` batches are computed in threads meanwhile. Several replicas work batch by batch instead, as all of
    them must call in the same order.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        for images, rest in batches:
            yield vectors_of(images), rest
        return
    waiting: deque[tuple[Future[Vectors], Rest]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for images, rest in batches:
            waiting.append((pool.submit(vectors_of, images), rest))
            if len(waiting) > AHEAD:  # so no more batches than these are in memory
                vectors, rest = waiting.popleft()
                yield vectors.result(), rest
        for vectors, rest in waiting:
            yield vectors.result(), rest


def one_at_a_time(vectors_of: Callable[[Inputs], Vectors]) -> Callable[[Inputs], Vectors]:
    """Return `vectors_of` under a lock, for what may not be thread-safe: a user's function, a TFLite interpreter."""
    lock = threading.Lock()

    def locked(images: Inputs) -> Vectors:
        with lock:
            return vectors_of(images)

    return locked
