"""The devices that share a training: which they are, what each of them reads, and what workers agree on."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import tensorflow as tf

from tf_spot.distributed.rendezvous import STRATEGIES, WAIT, meet, read_cluster
from tf_spot.distributed.replicas import gather_rows, own_rows
from tf_spot.distributed.watchdog import killed_after
from tf_spot.errors import UserError

_LOST = (  # what a collective operation raises when another worker is gone
    tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError, tf.errors.InternalError,
)  # fmt: skip

Maps = TypeVar("Maps")  # a tensor or a dictionary of tensors


class UnlabelledPhotos(Protocol):
    """A stream of training images that workers can share; `tf_spot.data.Source` is one."""

    def unlabelled(
        self,
        batch_size: int,
        *,
        seed: int,
        first_step: int,
        share: tuple[int, int] = ...,
        images_before: int | None = ...,
    ) -> tf.data.Dataset:
        """Open the stream at a step, see `Source.unlabelled`.

        `share` is (index, count) of the worker that reads its rows of every batch.
        """


# --- devices ----------------------------------------------------------------------------------------------------------


def make_strategy(name: str, wait_seconds: float = WAIT) -> tf.distribute.Strategy:
    """Return the strategy of that name.

    Args:
        name: `auto`: the one whose scope is open, else all visible GPUs, else one device. `none`: one device.
            `mirrored`: all logical devices of the best kind, GPUs before CPUs. `multiworker`: the workers in TF_CONFIG,
            each with all its GPUs or its CPU; must be made before TensorFlow runs anything else.
        wait_seconds: how long workers wait for each other.

    Returns:
        TensorFlow's default strategy for one device.

    Raises:
        UserError: another name, or workers that do not come together. Where one dies right after the meeting, the
            others' processes are killed, with a message of one line.
    """
    if name not in STRATEGIES:
        raise UserError(f"unknown strategy; allowed: {', '.join(STRATEGIES)}; received: {name!r}")
    if name == "multiworker":
        return _multiworker(wait_seconds)
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1 and not tf.distribute.has_strategy()):
        return _mirrored(tuple(device.name for device in gpus or tf.config.list_logical_devices("CPU")))
    return tf.distribute.get_strategy()


@functools.cache  # one per process: TensorFlow mixes up the collective operations of two over the same devices
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(list(devices))


def _multiworker(wait_seconds: float) -> tf.distribute.Strategy:
    meet(read_cluster(), wait_seconds)
    # TensorFlow waits an hour for a worker that dies between the meeting and its own start, and holds Python's lock.
    message = (
        f"tf-spot: all workers have met, but another one stopped before TensorFlow could start in {wait_seconds:g} s; "
        "see the others' messages and start all workers again with --resume\n"
    )
    try:
        with killed_after(wait_seconds, message):
            return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            f"the multiworker strategy must be made before TensorFlow runs anything else; received: {error}; make it "
            "first, in a new process"
        ) from error


def check_batch(strategy: tf.distribute.Strategy, batch_size: int) -> None:
    """Refuse a batch that the replicas cannot share equally.

    Raises:
        UserError: `batch_size` does not divide by the replicas.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(
            f"training.batch_size counts the images of all replicas together and must divide by them; received: "
            f"{batch_size} for {replicas} replicas; choose a multiple of {replicas}"
        )


# --- what each device reads -------------------------------------------------------------------------------------------


def training_stream(
    strategy: tf.distribute.Strategy,
    source: UnlabelledPhotos,
    batch_size: int,
    seed: int,
    first_step: int,
    images_before: int | None = None,
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Return `source.unlabelled`, shared by the replicas: each gets its rows of every global batch, in their order.

    So an image has the same index in the global batch however many devices there are, and with it the same draws.

    Args:
        strategy: whose replicas share the stream.
        source: of the images.
        batch_size: images in a global batch.
        seed: of the order and the augmentation.
        first_step: the step whose batch comes first.
        images_before: images of the steps before; None: all of them had this batch size.
    """
    replicas = strategy.num_replicas_in_sync
    begin = functools.partial(source.unlabelled, seed=seed, first_step=first_step, images_before=images_before)

    def rows_of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        share = (context.input_pipeline_id, context.num_input_pipelines)
        own = begin(batch_size, share=share)
        own = own.rebatch(batch_size // replicas)  # (images of the worker, ...) to (images of a replica, ...)
        # Rebatching forgets that there is no end, and a stream with one would not have batches of a fixed size.
        return own.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    if replicas == 1:
        return begin(batch_size)
    return strategy.distribute_datasets_from_function(rows_of_worker)


def share_rows(extract: Callable[[tf.Tensor], Maps]) -> Callable[[tf.Tensor], Maps]:
    """Return `extract` with the rows of every batch shared by the replicas of the open scope.

    Workers must call the result together, each with the whole batch, and each gets the output for all of it. A batch
    that does not divide by the replicas is filled up with copies of its last row, whose outputs are dropped.

    Args:
        extract: images (batch, ...) to a tensor (batch, ...), or a dictionary of such tensors. Each row depends on no
            other image. Made of TensorFlow's operations, on variables made in the scope.

    Returns:
        a function of the same images with the same output, to float32 rounding; `extract` itself for one replica.
    """
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return extract

    def of_replica(images: tf.Tensor, rows: tf.Tensor) -> Maps:
        return tf.nest.map_structure(gather_rows, extract(own_rows(images, rows)))

    @tf.function(autograph=False, reduce_retracing=True)
    def of_all(images: tf.Tensor) -> Maps:
        output = strategy.run(of_replica, args=(images, tf.shape(images)[0] // replicas))
        return strategy.experimental_local_results(output)[0]  # every replica has gathered all rows

    def shared(images: tf.Tensor) -> Maps:
        given = tf.convert_to_tensor(images)
        output = of_all(fill_up(given, len(given) + -len(given) % replicas))
        return tf.nest.map_structure(lambda values: values[: len(given)], output)

    return shared


def fill_up(rows: tf.Tensor, count: int) -> tf.Tensor:
    """Append copies of the last row.

    Args:
        rows: (some, ...), at most `count`.
        count: rows in all.

    Returns:
        (count, ...).
    """
    return tf.concat([rows, tf.repeat(rows[-1:], count - len(rows), axis=0)], axis=0)


# --- among workers ----------------------------------------------------------------------------------------------------


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Return the number of processes that train together."""
    resolver = strategy.cluster_resolver
    return len(resolver.cluster_spec().as_dict()["worker"]) if resolver else 1


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """True in the one process that writes the run folder."""
    return num_workers(strategy) == 1 or strategy.cluster_resolver.task_id == 0


def of_all_workers(strategy: tf.distribute.Strategy, value: int) -> list[int]:
    """Return the value of each worker, on every worker. All must call it; it waits for the last."""
    if num_workers(strategy) == 1:
        return [value]
    everywhere = strategy.run(_gathered, args=(tf.constant([value], tf.int64),))
    return [int(one) for one in strategy.experimental_local_results(everywhere)[0]]


@tf.function
def _gathered(own: tf.Tensor) -> tf.Tensor:
    """(1,) of each worker to (workers,) on all."""
    on_device = tf.identity(own)  # an argument has no device of its own, which TensorFlow needs
    return tf.distribute.get_replica_context().all_gather(on_device, axis=0)


def agree(strategy: tf.distribute.Strategy, value: int, what: str) -> None:
    """Wait for all workers, and go on only if they have the same value.

    Raises:
        UserError: they differ.
    """
    values = of_all_workers(strategy, value)
    if len(set(values)) > 1:
        raise UserError(
            f"all workers must have the same {what}; received: {values}; do they share one run folder and one command?"
        )


def leave(strategy: tf.distribute.Strategy) -> None:
    """Wait until the work of all workers is done; the last thing they do together.

    A worker that left earlier would look lost to the others. The first to get its answer leaves, and another may then
    fail to get its own: as all have come here, nothing is lost with that.
    """
    with contextlib.suppress(*_LOST):
        of_all_workers(strategy, 1)


@contextlib.contextmanager
def lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turn what TensorFlow raises when another worker is gone into a message of one line.

    Raises:
        UserError: another worker is gone.
    """
    try:
        yield
    except _LOST as error:
        if num_workers(strategy) == 1:  # a fault of this process, not of another
            raise
        raise UserError(
            f"worker {strategy.cluster_resolver.task_id} stops, as another worker has stopped or cannot be reached; "
            "the newest checkpoint is whole; see the others' messages and start all workers again with --resume"
        ) from error
