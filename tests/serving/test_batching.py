"""The queue: what runs together, what does not, and who gets which answer."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from tf_spot.serving.batching import Batcher
from tf_spot.serving.errors import ServingError
from tf_spot.serving.metrics import Metrics


class Doubler:
    """Stands for a loaded version: doubles `x`, refuses a batch with a negative number, and keeps what it was given."""

    def __init__(self, batched: bool = True) -> None:
        self.runs: list[np.ndarray] = []
        self.go = threading.Event()
        self.go.set()
        self._batched = batched

    def batched(self, signature: str) -> bool:
        return self._batched

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.go.wait(10)
        self.runs.append(inputs["x"])
        if (inputs["x"] < 0).any():
            raise ServingError("INVALID_ARGUMENT", "negative")
        outputs = {"twice": 2 * inputs["x"]}
        return outputs | {"total": inputs["x"].sum()} if signature == "total" else outputs


def with_batcher(test: Callable[[Batcher], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        options_all = {"max_batch_size": 8, "batch_timeout": 0.05, "max_queue": 100} | options
        batcher = Batcher(**options_all, metrics=Metrics())
        try:
            return await asyncio.wait_for(test(batcher), 10)
        finally:
            batcher.close()

    return asyncio.run(run())


def ask(batcher: Batcher, servable: Any, *values: float, signature: str = "s", columns: int = 1) -> Awaitable[Any]:
    return batcher.run(servable, signature, {"x": np.repeat(np.array(values)[:, None], columns, 1)})


def test_requests_run_together_and_each_gets_its_rows() -> None:
    servable = Doubler()

    async def test(batcher: Batcher) -> Any:
        return await asyncio.gather(
            ask(batcher, servable, 1, 2), ask(batcher, servable, 3), ask(batcher, servable, 4, 5)
        )

    answers = with_batcher(test)
    assert [answer["twice"].ravel().tolist() for answer in answers] == [[2, 4], [6], [8, 10]]
    assert [run.ravel().tolist() for run in servable.runs] == [[1, 2, 3, 4, 5]]


def test_a_full_batch_does_not_wait() -> None:
    servable = Doubler()

    async def test(batcher: Batcher) -> None:
        await asyncio.gather(*[ask(batcher, servable, number, number) for number in range(4)])

    with_batcher(test, batch_timeout=1000.0)
    assert [len(run) for run in servable.runs] == [8]


def test_no_batch_is_over_the_limit() -> None:
    servable = Doubler()

    async def test(batcher: Batcher) -> None:
        await asyncio.gather(*[ask(batcher, servable, 1, 2, 3) for _ in range(5)])
        with pytest.raises(ServingError, match="9 rows in one request; at most 8"):
            await ask(batcher, servable, *range(9))

    with_batcher(test)
    assert [len(run) for run in servable.runs] == [6, 6, 3]


def test_a_bad_request_does_not_fail_its_neighbours() -> None:
    servable = Doubler()

    async def test(batcher: Batcher) -> Any:
        calls = [ask(batcher, servable, value) for value in (1, -1, 2)]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, bad, last = with_batcher(test)
    assert first["twice"].tolist() == [[2]] and last["twice"].tolist() == [[4]]
    assert isinstance(bad, ServingError) and bad.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("difference", ["shape", "signature", "version"])
def test_what_differs_does_not_run_together(difference: str) -> None:
    servable, other = Doubler(), Doubler()
    changed = {"shape": {"columns": 2}, "signature": {"signature": "t"}, "version": {}}[difference]

    async def test(batcher: Batcher) -> Any:
        last = other if difference == "version" else servable
        return await asyncio.gather(ask(batcher, servable, 1), ask(batcher, last, 2, **changed))

    one, two = with_batcher(test)
    assert one["twice"].tolist() == [[2]] and set(two["twice"].ravel()) == {4}
    assert len(servable.runs) + len(other.runs) == 2


def test_outputs_without_rows_are_not_cut() -> None:
    servable = Doubler()

    async def test(batcher: Batcher) -> Any:
        return await asyncio.gather(*[ask(batcher, servable, value, signature="total") for value in (1, 2)])

    assert [answer["total"] for answer in with_batcher(test)] == [1, 2]


def test_a_signature_that_is_not_batched_runs_alone() -> None:
    servable = Doubler(batched=False)

    async def test(batcher: Batcher) -> Any:
        return await asyncio.gather(ask(batcher, servable, *range(9)), ask(batcher, servable, 3))

    long, short = with_batcher(test)
    assert len(long["twice"]) == 9 and short["twice"].tolist() == [[6]]
    assert sorted(len(run) for run in servable.runs) == [1, 9]


def test_the_queue_is_bounded_and_empties_again() -> None:
    servable = Doubler()

    async def test(batcher: Batcher) -> None:
        servable.go.clear()
        running = asyncio.create_task(ask(batcher, servable, 0))
        await asyncio.sleep(0.1)  # it left the queue
        waiting = [asyncio.create_task(ask(batcher, servable, number)) for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ServingError, match="the queue is full: 3") as caught:
            await ask(batcher, servable, 9)
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        servable.go.set()
        await asyncio.gather(running, *waiting)
        assert (await ask(batcher, servable, 9))["twice"].tolist() == [[18]]
        await asyncio.sleep(0.01)
        assert not batcher._lanes and not batcher._tasks  # nothing keeps a version that is gone

    with_batcher(test, max_queue=3, batch_timeout=0.0)


def test_who_gave_up_costs_no_work() -> None:
    servable = Doubler()

    async def test(batcher: Batcher) -> Any:
        servable.go.clear()
        running = asyncio.create_task(ask(batcher, servable, 0))
        await asyncio.sleep(0.1)
        waiting = [asyncio.create_task(ask(batcher, servable, number)) for number in (1, 2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        servable.go.set()
        await running
        return await waiting[1]

    assert with_batcher(test, batch_timeout=0.0)["twice"].tolist() == [[4]]
    assert [run.ravel().tolist() for run in servable.runs] == [[0], [2]]


class Decoder(Doubler):
    """Takes as long as `go` is not set to decode files."""

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if "file" not in inputs:
            return {"twice": 2 * inputs["x"]}
        self.go.wait(10)
        return {"size": np.zeros(len(inputs["file"]))}


def test_requests_with_large_photos_leave_a_runner_to_others() -> None:
    """As many lanes of large photos as there are runners would keep an ordinary request waiting."""
    servable = Decoder()
    large = np.array([b"\x89PNG" + bytes(12) + (4000).to_bytes(4) + (3000).to_bytes(4), None], object)[:-1]

    async def test(batcher: Batcher) -> Any:
        servable.go.clear()
        waiting = [
            asyncio.create_task(batcher.run(servable, signature, {"file": large})) for signature in ("a", "b", "c")
        ]
        await asyncio.sleep(0.3)
        answer = await ask(batcher, servable, 1)
        assert not any(task.done() for task in waiting)
        servable.go.set()
        return answer, await asyncio.gather(*waiting)

    answer, sizes = with_batcher(test)
    assert answer["twice"].tolist() == [[2]] and len(sizes) == 3
