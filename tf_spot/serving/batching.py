"""Requests of many clients, put together into batches: run once, answers given back to each."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tf_spot.serving.errors import ServingError
from tf_spot.serving.metrics import Metrics
from tf_spot.serving.servable import Arrays, Servable

RUNNERS = 2  # batches that run at the same time; TensorFlow spreads each over the cores by itself


@dataclass(eq=False)
class _Request:
    inputs: Arrays
    rows: int
    answer: asyncio.Future[Arrays]
    arrived: float = field(default_factory=time.monotonic)


class _Lane:
    """Waiting requests that may run together: same version, same signature, same shapes but for the first axis."""

    def __init__(self) -> None:
        self.waiting: deque[_Request] = deque()
        self.full = asyncio.Event()

    def rows(self) -> int:
        return sum(request.rows for request in self.waiting)

    def take(self, max_rows: int) -> list[_Request]:
        taken: list[_Request] = []
        rows = 0
        while self.waiting and (not taken or rows + self.waiting[0].rows <= max_rows):
            taken.append(self.waiting.popleft())
            rows += taken[-1].rows
        return taken


class Batcher:
    """A bounded queue before the models. All of it lives on one event loop, so it needs no locks.

    Args:
        max_batch_size: rows run at once; a greater request is refused.
        batch_timeout: seconds that the first request of a batch waits for company.
        max_queue: requests that may wait; more are refused with RESOURCE_EXHAUSTED.
        metrics: told the size of the queue and of each batch.
    """

    def __init__(self, *, max_batch_size: int, batch_timeout: float, max_queue: int, metrics: Metrics) -> None:
        self.max_batch_size = max_batch_size
        self.batch_timeout = batch_timeout
        self.max_queue = max_queue
        self._metrics = metrics
        self._waiting = 0
        self._lanes: dict[Any, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(RUNNERS, thread_name_prefix="model")
        self._runners = asyncio.Semaphore(RUNNERS)

    async def run(self, servable: Servable, signature: str, inputs: Arrays) -> Arrays:
        """The signature's outputs for these inputs, which have passed `Servable.check`.

        Raises:
            ServingError: the queue is full, the request is too large, or what the model itself refused.
        """
        rows = _rows(inputs) if servable.batched(signature) else None
        if rows is not None and rows > self.max_batch_size:
            told = f"{rows} rows in one request; at most {self.max_batch_size} are run at once: split the request"
            raise ServingError("INVALID_ARGUMENT", told)
        if self._waiting >= self.max_queue:
            raise ServingError("RESOURCE_EXHAUSTED", f"the queue is full: {self._waiting} requests wait; try again")
        request = _Request(inputs, rows or 1, asyncio.get_running_loop().create_future())
        shapes = id(request) if rows is None else tuple((name, inputs[name].shape[1:]) for name in sorted(inputs))
        self._queue((servable, signature, shapes), request)
        return await request.answer

    def close(self) -> None:
        self._pool.shutdown()

    def _queue(self, key: tuple[Servable, str, Any], request: _Request) -> None:
        if key not in self._lanes:
            self._lanes[key] = _Lane()
            task = asyncio.create_task(self._serve(key))
            self._tasks.add(task)  # the loop itself keeps only weak references
            task.add_done_callback(self._tasks.discard)
        lane = self._lanes[key]
        lane.waiting.append(request)
        if lane.rows() >= self.max_batch_size:
            lane.full.set()
        self._count(1)

    def _count(self, change: int) -> None:
        self._waiting += change
        self._metrics.waiting.set(self._waiting)

    async def _serve(self, key: tuple[Servable, str, Any]) -> None:
        """Runs a lane's batches until nothing waits in it."""
        servable, signature, _ = key
        lane = self._lanes[key]
        while lane.waiting:
            await self._fill(lane)
            async with self._runners:
                taken = lane.take(self.max_batch_size)
                self._count(-len(taken))
                # A client that has given up, its deadline past, costs no work.
                await self._execute(servable, signature, [one for one in taken if not one.answer.done()])
        del self._lanes[key]

    async def _fill(self, lane: _Lane) -> None:
        """Waits until the batch is full, or its first request has waited long enough."""
        left = lane.waiting[0].arrived + self.batch_timeout - time.monotonic()
        if lane.rows() < self.max_batch_size and left > 0:
            lane.full.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(lane.full.wait(), left)

    async def _execute(self, servable: Servable, signature: str, batch: list[_Request]) -> None:
        if not batch:
            return
        sizes = [request.rows for request in batch]
        self._metrics.batch_rows.observe(sum(sizes))
        loop = asyncio.get_running_loop()
        try:
            inputs = [request.inputs for request in batch]
            answers = await loop.run_in_executor(self._pool, _run_together, servable, signature, inputs, sizes)
        except Exception as error:
            if len(batch) > 1:  # find out whose fault it is: the others get their answers
                for request in batch:
                    await self._execute(servable, signature, [request])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for request, answer in zip(batch, answers, strict=True):
            if not request.answer.done():
                request.answer.set_result(answer)


def _rows(inputs: Arrays) -> int | None:
    """Rows that all inputs share, or None when they cannot be put together with those of others."""
    sizes = {array.shape[0] for array in inputs.values()}
    return sizes.pop() or None if len(sizes) == 1 else None


def _run_together(servable: Servable, signature: str, inputs: list[Arrays], sizes: list[int]) -> list[Arrays]:
    """Runs all requests as one batch and cuts the outputs apart."""
    if len(inputs) == 1:
        return [servable.run(signature, inputs[0])]
    together = {name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]}
    outputs = servable.run(signature, together)
    if any(array.ndim == 0 or array.shape[0] != sum(sizes) for array in outputs.values()):
        raise ServingError("FAILED_PRECONDITION", "an output has not one row for each row of the inputs")
    edges = np.cumsum(sizes)[:-1]
    pieces = {name: np.split(array, edges) for name, array in outputs.items()}
    return [{name: pieces[name][place] for name in pieces} for place in range(len(inputs))]
