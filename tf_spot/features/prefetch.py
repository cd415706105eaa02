"""Features of the next batches made while one is used: what one core does in between costs no time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import tensorflow as tf

AHEAD = 2  # batches under way while one is used
Vectors = TypeVar("Vectors")


def ahead(vectors_of: Callable[[Any], Vectors], batches: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Vectors, Any]]:
    """(`vectors_of(images)`, the rest) of every (images, rest), in order.

    The next `AHEAD` batches are under way while one is used. Several replicas must call in the same order, so they work
    batch by batch.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        for images, rest in batches:
            yield vectors_of(images), rest
        return
    waiting: deque[tuple[Future[Vectors], Any]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for images, rest in batches:
            waiting.append((pool.submit(vectors_of, images), rest))
            if len(waiting) > AHEAD:
                asked, rest = waiting.popleft()
                yield asked.result(), rest
        for asked, rest in waiting:
            yield asked.result(), rest


def one_at_a_time(vectors_of: Callable[[Any], Vectors]) -> Callable[[Any], Vectors]:
    """`vectors_of`, never called while it is at work: one of the user's, or an interpreter, may not bear threads."""
    lock = threading.Lock()

    def alone(images: Any) -> Vectors:
        with lock:
            return vectors_of(images)

    return alone
