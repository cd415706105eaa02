"""The devices that share a training: which, what each of them reads, and what the workers settle among themselves."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tf_spot.distributed.rendezvous import STRATEGIES, WAIT, meet, read_cluster
from tf_spot.distributed.replicas import gather_rows, own_rows
from tf_spot.errors import UserError

_LOST = (  # what a collective operation raises when another worker is gone
    tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError, tf.errors.InternalError,
)  # fmt: skip

_WATCH = """
import os, signal, sys, time
parent, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
while os.getppid() == parent:
    if time.monotonic() > end:
        sys.stderr.write(sys.argv[3])
        sys.stderr.flush()
        os.kill(parent, signal.SIGKILL)
        break
    time.sleep(0.2)
"""


def make_strategy(name: str, wait_seconds: float = WAIT) -> Any:
    """The strategy of that name.

    Args:
        name: `auto`: the one whose scope is open, else all visible GPUs, else one device. `none`: one device.
            `mirrored`: all logical devices of the best kind, GPUs before CPUs. `multiworker`: the workers in TF_CONFIG,
            each with all its GPUs or its CPU; must come before anything else that TensorFlow runs.
        wait_seconds: how long workers wait for each other.

    Returns:
        a `tf.distribute.Strategy`; for one device TensorFlow's default one.

    Raises:
        UserError: another name, or workers that do not come together. Where one dies right after the meeting, the
            others' processes are killed, with one line that says so.
    """
    if name not in STRATEGIES:
        raise UserError(f"unknown strategy; allowed: {', '.join(STRATEGIES)}; received: {name!r}")
    if name == "multiworker":
        return _multiworker(wait_seconds)
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1 and not tf.distribute.has_strategy()):
        return _mirrored(tuple(device.name for device in gpus or tf.config.list_logical_devices("CPU")))
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> Any:
    """One for the whole process: TensorFlow mixes up the collective operations of two over the same devices."""
    return tf.distribute.MirroredStrategy(list(devices))


def _multiworker(wait_seconds: float) -> Any:
    meet(read_cluster(), wait_seconds)
    try:
        with _killed_after(wait_seconds):
            return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            f"the multiworker strategy must be made before TensorFlow runs anything else; received: {error}; make it "
            "first, in a new process"
        ) from error


@contextlib.contextmanager
def _killed_after(seconds: float) -> Iterator[None]:
    """Ends this process with one line when what is inside takes longer.

    TensorFlow waits an hour for a worker that dies between the meeting and its own start. It holds Python's lock
    meanwhile, so that neither a thread nor a signal's handler would run: another process watches.
    """
    says = (
        f"tf-spot: all workers have met, but another one stopped before TensorFlow could start in {seconds:g} s; see "
        "the others' messages and start all workers again with --resume\n"
    )
    watch = subprocess.Popen([sys.executable, "-I", "-S", "-c", _WATCH, str(os.getpid()), str(seconds), says])
    try:
        yield
    finally:
        watch.kill()
        watch.wait()


def num_workers(strategy: Any) -> int:
    """Processes that train together."""
    resolver = strategy.cluster_resolver
    return len(resolver.cluster_spec().as_dict()["worker"]) if resolver else 1


def is_chief(strategy: Any) -> bool:
    """Is this the one process that writes the run folder?"""
    return num_workers(strategy) == 1 or strategy.cluster_resolver.task_id == 0


def check_batch(strategy: Any, batch_size: int) -> None:
    """Raises `UserError` when the replicas cannot share a batch equally."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(
            f"training.batch_size counts the images of all replicas together and must divide by them; received: "
            f"{batch_size} for {replicas} replicas; choose a multiple of {replicas}"
        )


def training_stream(strategy: Any, source: Any, batch_size: int, seed: int, first_step: int) -> Any:
    """`source.unlabelled`, shared by the replicas: each gets its rows of every global batch, in their order.

    So an image has the same place in the global batch however many devices there are, and with it the same draws.
    """
    replicas = strategy.num_replicas_in_sync

    def rows_of_worker(context: Any) -> tf.data.Dataset:
        share = (context.input_pipeline_id, context.num_input_pipelines)
        own = source.unlabelled(batch_size, seed=seed, first_step=first_step, share=share)
        own = own.rebatch(batch_size // replicas)
        # Rebatching forgets that there is no end, and a stream with one would not have batches of a fixed size.
        return own.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    if replicas == 1:
        return source.unlabelled(batch_size, seed=seed, first_step=first_step)
    return strategy.distribute_datasets_from_function(rows_of_worker)


def share_rows(extract: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`extract` with the rows of every batch shared by the replicas of the open scope; as it is where there is one.

    Workers must call it together, each with the whole batch, and each gets the answer for all of it. A batch that does
    not divide by the replicas is filled up with copies of its last row, whose answers are dropped.

    Args:
        extract: images (batch, ...) to a tensor, or a dictionary of tensors, with a row an image that depends on no
            other image; of TensorFlow's operations, on variables made in the scope.

    Returns:
        a function of the same images with the same answer, to float32 rounding.
    """
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return extract

    def of_replica(images: tf.Tensor, rows: tf.Tensor) -> Any:
        return tf.nest.map_structure(gather_rows, extract(own_rows(images, rows)))

    @tf.function(autograph=False, reduce_retracing=True)
    def of_all(images: tf.Tensor) -> Any:
        found = strategy.run(of_replica, args=(images, tf.shape(images)[0] // replicas))
        return strategy.experimental_local_results(found)[0]

    def shared(images: Any) -> Any:
        given = tf.convert_to_tensor(images)
        found = of_all(fill_up(given, len(given) + -len(given) % replicas))
        return tf.nest.map_structure(lambda values: values[: len(given)], found)

    return shared


def fill_up(rows: Any, count: int) -> tf.Tensor:
    """`rows` and copies of the last one, `count` in all."""
    return tf.concat([rows, tf.repeat(rows[-1:], count - len(rows), axis=0)], axis=0)


# --- among workers ----------------------------------------------------------------------------------------------------


def of_all_workers(strategy: Any, value: int) -> list[int]:
    """The value that each worker gives, on every worker. All must call it; it waits for the last."""
    if num_workers(strategy) == 1:
        return [value]
    everywhere = strategy.run(_gathered, args=(tf.constant([value], tf.int64),))
    return [int(one) for one in strategy.experimental_local_results(everywhere)[0]]


@tf.function
def _gathered(own: tf.Tensor) -> tf.Tensor:
    on_device = tf.identity(own)  # an argument has no device of its own, which TensorFlow asks for
    return tf.distribute.get_replica_context().all_gather(on_device, axis=0)


def agree(strategy: Any, value: int, what: str) -> None:
    """Waits for all workers and refuses to go on unless they give the same value.

    Raises:
        UserError: they differ.
    """
    values = of_all_workers(strategy, value)
    if len(set(values)) > 1:
        raise UserError(
            f"all workers must have the same {what}; received: {values}; do they share one run folder and one command?"
        )


def leave(strategy: Any) -> None:
    """Waits until the work of all workers is done; the last thing they do together.

    A worker that left earlier would look lost to the others. The first to get its answer leaves, and another may then
    fail to get its own: as all have come here, nothing is lost with that.
    """
    with contextlib.suppress(*_LOST):
        of_all_workers(strategy, 1)


@contextlib.contextmanager
def lost_workers(strategy: Any) -> Iterator[None]:
    """Turns what TensorFlow raises when another worker is gone into one clear line.

    Raises:
        UserError: another worker is gone.
    """
    try:
        yield
    except _LOST as error:
        if num_workers(strategy) == 1:
            raise
        raise UserError(
            f"worker {strategy.cluster_resolver.task_id} stops, as another worker has stopped or cannot be reached; "
            "the newest checkpoint is whole; see the others' messages and start all workers again with --resume"
        ) from error
