"""Dynamic batching: requests of several clients are run together, and each gets its own rows of the outputs."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tf_spot.serving.errors import ServingError
from tf_spot.serving.messages import Arrays
from tf_spot.serving.metrics import Metrics
from tf_spot.serving.picture_size import declared_pixels
from tf_spot.serving.servable import Servable

RUNNERS = 2  # batches that run at the same time; TensorFlow itself spreads each over the cores
HEAVY_PIXELS = 8_000_000  # of the photos of a request that takes long to decode: such requests leave a runner to others


@dataclass(eq=False)
class _Request:
    inputs: Arrays
    rows: int
    answer: asyncio.Future[Arrays]
    arrived: float = field(default_factory=time.monotonic)


class _LaneKey(NamedTuple):
    """What requests must have in common to run together."""

    servable: Servable
    signature: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...] | int  # of the inputs without the first axis; an id: runs alone
    is_heavy: bool  # see `HEAVY_PIXELS`


class _Lane:
    """The waiting requests that may run together."""

    def __init__(self) -> None:
        self.waiting: deque[_Request] = deque()
        self.full = asyncio.Event()

    def rows(self) -> int:
        return sum(request.rows for request in self.waiting)

    def take(self, max_rows: int) -> list[_Request]:
        """Remove and return the oldest requests that fit into a batch, at least one."""
        taken: list[_Request] = []
        rows = 0
        while self.waiting and (not taken or rows + self.waiting[0].rows <= max_rows):
            taken.append(self.waiting.popleft())
            rows += taken[-1].rows
        return taken


class Batcher:
    """A bounded queue in front of the models. It lives on one event loop, so it needs no locks.

    Args:
        max_batch_size: rows run at once; a greater request is refused.
        batch_timeout: seconds that the first request of a batch waits for others.
        max_queue: requests that may wait; further ones are refused with RESOURCE_EXHAUSTED.
        metrics: records the size of the queue and of each batch.
    """

    def __init__(self, *, max_batch_size: int, batch_timeout: float, max_queue: int, metrics: Metrics) -> None:
        self.max_batch_size = max_batch_size
        self.batch_timeout = batch_timeout
        self.max_queue = max_queue
        self._metrics = metrics
        self._waiting = 0
        self._lanes: dict[_LaneKey, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(RUNNERS, thread_name_prefix="model")
        self._runners = asyncio.Semaphore(RUNNERS)
        self._heavy = asyncio.Semaphore(RUNNERS - 1)

    async def run(self, servable: Servable, signature: str, inputs: Arrays) -> Arrays:
        """Return the signature's outputs for inputs that have passed `Servable.check`.

        Args:
            servable: the version.
            signature: its name.
            inputs: (batch, ...) by name.

        Returns:
            (batch, ...) by name.

        Raises:
            ServingError: the queue is full, the request is too large, or the model itself refused it.
        """
        rows = _rows(inputs) if servable.batched(signature) else None
        if rows is not None and rows > self.max_batch_size:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"{rows} rows in one request; at most {self.max_batch_size} are run at once: split the request",
            )
        # Refused at once rather than after a long wait: the client knows best whether to try again.
        if self._waiting >= self.max_queue:
            raise ServingError("RESOURCE_EXHAUSTED", f"the queue is full: {self._waiting} requests wait; try again")
        request = _Request(inputs, rows or 1, asyncio.get_running_loop().create_future())
        # A request without rows of its own gets a lane of its own.
        shapes = id(request) if rows is None else tuple((name, inputs[name].shape[1:]) for name in sorted(inputs))
        is_heavy = declared_pixels(inputs) > HEAVY_PIXELS
        self._enqueue(_LaneKey(servable, signature, shapes, is_heavy), request)
        return await request.answer

    def close(self) -> None:
        """Wait for the batches that run, and stop the threads."""
        self._pool.shutdown()

    def _enqueue(self, key: _LaneKey, request: _Request) -> None:
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

    async def _serve(self, key: _LaneKey) -> None:
        """Run the batches of a lane until nothing waits in it."""
        lane = self._lanes[key]
        while lane.waiting:
            await self._fill(lane)
            # While all runners are busy the lane goes on filling.
            async with self._heavy if key.is_heavy else nullcontext(), self._runners:
                taken = lane.take(self.max_batch_size)
                self._count(-len(taken))
                # The answer is done if the client gave up; its request is dropped.
                await self._execute(key, [request for request in taken if not request.answer.done()])
        del self._lanes[key]

    async def _fill(self, lane: _Lane) -> None:
        """Wait until the batch is full, or its first request has waited long enough."""
        left = lane.waiting[0].arrived + self.batch_timeout - time.monotonic()
        if lane.rows() < self.max_batch_size and left > 0:
            lane.full.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(lane.full.wait(), left)

    async def _execute(self, key: _LaneKey, batch: list[_Request]) -> None:
        if not batch:
            return
        sizes = [request.rows for request in batch]
        self._metrics.batch_rows.observe(sum(sizes))
        loop = asyncio.get_running_loop()
        try:
            inputs = [request.inputs for request in batch]
            answers = await loop.run_in_executor(self._pool, _run_together, key.servable, key.signature, inputs, sizes)
        except Exception as error:
            if len(batch) > 1:  # run each alone, so that only the request at fault gets the error
                for request in batch:
                    await self._execute(key, [request])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for request, answer in zip(batch, answers, strict=True):
            if not request.answer.done():
                request.answer.set_result(answer)


def _rows(inputs: Arrays) -> int | None:
    """Return the number of rows that all inputs share; None if they cannot be joined with those of others."""
    sizes = {array.shape[0] for array in inputs.values()}
    return sizes.pop() or None if len(sizes) == 1 else None


def _run_together(servable: Servable, signature: str, inputs: list[Arrays], sizes: list[int]) -> list[Arrays]:
    """Run all requests as one batch and split the outputs."""
    if len(inputs) == 1:
        return [servable.run(signature, inputs[0])]
    joined = {name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]}  # (sum of sizes, ...)
    outputs = servable.run(signature, joined)
    if any(array.ndim == 0 or array.shape[0] != sum(sizes) for array in outputs.values()):
        raise ServingError("FAILED_PRECONDITION", "an output does not have one row for each row of the inputs")
    edges = np.cumsum(sizes)[:-1]
    pieces = {name: np.split(array, edges) for name, array in outputs.items()}  # (size, ...) per request
    return [{name: pieces[name][index] for name in pieces} for index in range(len(inputs))]
