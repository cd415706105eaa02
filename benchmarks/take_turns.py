"""Let processes take turns on the same two cores: the runner's side and the contestants' side.

All contestants are started and warmed up. Then each works for some seconds when it is its turn, round after round, so
that a slow minute of a shared machine affects all of them. Needs only NumPy, so that contestants in any Python can
import it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

CORES = 2
STOP_SECONDS = 5.0  # that a contestant gets to end by itself


def on_two_cores() -> None:
    """Restrict this process to two cores; to be called before any library counts them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def child(command: list[str]) -> dict[str, Any]:
    """Run a command and return the last line of its output, parsed as JSON."""
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    print(f"{time.monotonic() - started:6.1f} s  {' '.join(command[1:])[:100]}", file=sys.stderr)
    return json.loads(done.stdout.splitlines()[-1])


# --- a contestant's side ----------------------------------------------------------------------------------------------


def answer(prepare: Callable[[int], Callable[[], object]], **properties: object) -> None:
    """Report readiness; then, for every line `BATCH SECONDS` on stdin, work for that long and print images per second.

    Args:
        prepare: from a batch size to a function that processes one batch.
        properties: reported with the readiness, in `Contestant.ready`.
    """
    print(json.dumps({"ready": True} | properties), flush=True)
    for line in sys.stdin:
        batch, seconds = int(line.split()[0]), float(line.split()[1])
        work = prepare(batch)
        work()  # warm-up: tracing per batch size, and caches that another contestant has evicted
        calls, started = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - started < seconds:
            work()
            calls += 1
        rate = batch * calls / (time.perf_counter() - started)
        print(json.dumps({"images_per_second": round(rate, 3), "calls": calls}), flush=True)


def answer_with(model: Callable[[np.ndarray], Any], photos: np.ndarray) -> None:
    """Take turns with a model.

    Args:
        model: from float32 (batch, size, size, 3) in [0, 255] to NumPy arrays.
        photos: uint8 (n, size, size, 3), repeated to fill a batch.
    """

    def prepare(batch: int) -> Callable[[], Any]:
        images = photos[np.arange(batch) % len(photos)].astype(np.float32)
        return lambda: model(images)

    answer(prepare)


def answer_each(prepare: Callable[[dict[str, Any]], Callable[[], int]], **properties: object) -> None:
    """Like `answer`, for many kinds of work: every line on stdin is an object of JSON with `seconds` and a description.

    The reply to the first line of a kind also has `first_seconds`, what preparing it took. A kind that cannot be
    prepared or fails is answered with `error`; the others go on.

    Args:
        prepare: from the description to a function that works a while, waits for the device, and returns the images.
        properties: reported with the readiness, in `Contestant.ready`.
    """
    print(json.dumps({"ready": True} | properties), flush=True)
    known: dict[str, Callable[[], int]] = {}
    for line in sys.stdin:
        described = json.loads(line)
        seconds = described.pop("seconds")
        try:
            print(json.dumps(_turn(prepare, described, seconds, known)), flush=True)
        except Exception as error:  # whatever a library raises: this kind of work does not run here
            print(json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}), flush=True)


def _turn(
    prepare: Callable[[dict[str, Any]], Callable[[], int]],
    described: dict[str, Any],
    seconds: float,
    known: dict[str, Callable[[], int]],
) -> dict[str, Any]:
    name, reply = json.dumps(described, sort_keys=True), {}
    started = time.perf_counter()
    if name not in known:
        work = prepare(described)
        work()  # traces, compiles, tunes
        known[name] = work
        reply = {"first_seconds": round(time.perf_counter() - started, 2), **getattr(work, "properties", {})}
    known[name]()  # not timed: the caches are another's
    images, started = 0, time.perf_counter()
    while images == 0 or time.perf_counter() - started < seconds:
        images += known[name]()
    return reply | {"images_per_second": round(images / (time.perf_counter() - started), 3)}


# --- the runner's side ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(
    commands: dict[str, list[str]], environments: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[dict[str, Contestant]]:
    """Start the contestants and wait until all are ready; stop them at the end of the scope.

    Args:
        commands: of each contestant by its name.
        environments: of each; by default this process's, on `CORES` cores and without a GPU.
    """
    environments = environments or {}
    contestants = {name: Contestant(command, environments.get(name)) for name, command in commands.items()}
    try:
        for contestant in contestants.values():
            contestant.ready = contestant.hear()
        yield contestants
    finally:
        for contestant in contestants.values():
            contestant.stop()


def take_turns(
    contestants: dict[str, Contestant], rounds: int, seconds: float, batches: Sequence[int]
) -> dict[str, dict[str, list[float]]]:
    """Return {contestant: {batch size: images per second of each round}}; the order rotates by one every round."""
    rates: dict[str, dict[str, list[float]]] = {name: {str(batch): [] for batch in batches} for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            for batch in batches:
                rates[name][str(batch)].append(contestants[name].ask(f"{batch} {seconds}")["images_per_second"])
    return rates


class Contestant:
    """A process that waits for its turns, see `answer`."""

    ready: dict[str, Any]  # the properties that it reported at the start

    def __init__(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        quiet = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": str(CORES)}
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=quiet if environment is None else environment,
        )

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line and return the reply."""
        with contextlib.suppress(BrokenPipeError):  # the process ended: `hear` raises with its errors
            print(line, file=self.process.stdin, flush=True)
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """Return the next line of its output that is JSON.

        Raises:
            RuntimeError: the process ended instead.
        """
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.errors.seek(0)
        raise RuntimeError(f"{' '.join(self.process.args)} ended:\n{self.errors.read()[-2000:]}")

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:  # it is in the middle of something
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()
