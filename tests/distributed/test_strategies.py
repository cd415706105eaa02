"""The devices of a training, what each of them reads, and what workers agree on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tf_spot.config import preset
from tf_spot.distributed.strategies import (
    agree,
    check_batch,
    fill_up,
    is_chief,
    leave,
    lost_workers,
    make_strategy,
    num_workers,
    of_all_workers,
    share_rows,
    training_stream,
)
from tf_spot.errors import UserError
from tf_spot.training.train import train

# --- devices ----------------------------------------------------------------------------------------------------------


def test_mirrored_takes_every_logical_device_and_auto_one_cpu(two: tf.distribute.Strategy) -> None:
    assert two.num_replicas_in_sync == 2 and make_strategy("mirrored") is two
    for name in ("auto", "none"):
        assert make_strategy(name) is tf.distribute.get_strategy()
        assert make_strategy(name).num_replicas_in_sync == 1
    with two.scope():
        assert make_strategy("auto") is two
    assert (num_workers(two), is_chief(two)) == (1, True)


def test_an_unknown_strategy_and_a_batch_that_does_not_divide_are_refused(
    two: tf.distribute.Strategy, tmp_path: Any
) -> None:
    with pytest.raises(UserError, match="auto, none, mirrored, multiworker; received: 'tpu'"):
        make_strategy("tpu")
    check_batch(two, 8)
    config = preset("tiny").replace(**{"training.batch_size": 7})
    with pytest.raises(UserError, match="received: 7 for 2 replicas"):
        train(config, "photos", tmp_path / "run", strategy="mirrored")
    assert not (tmp_path / "run").exists()


# --- what each device reads -------------------------------------------------------------------------------------------


class Numbers:
    """A source whose image number i is filled with i."""

    def unlabelled(
        self, batch_size: int, *, seed: int, first_step: int, share: Any = (0, 1), images_before: int | None = None
    ) -> tf.data.Dataset:
        numbers = tf.data.Dataset.counter(first_step * batch_size).map(lambda i: tf.cast(i + 100 * seed, tf.float32))
        batches = numbers.map(lambda i: tf.fill((2, 2, 3), i)).batch(batch_size, drop_remainder=True)
        return batches.map(lambda images: tf.split(images, share[1])[share[0]])


def test_each_replica_reads_its_rows_of_every_global_batch_in_order(two: tf.distribute.Strategy) -> None:
    stream = iter(training_stream(two, Numbers(), 6, seed=1, first_step=2))
    for start in (112, 118):
        rows = [part[:, 0, 0, 0].numpy().tolist() for part in next(stream).values]
        assert rows == [[start, start + 1, start + 2], [start + 3, start + 4, start + 5]]
    alone = next(iter(training_stream(tf.distribute.get_strategy(), Numbers(), 6, seed=1, first_step=2)))
    assert alone[:, 0, 0, 0].numpy().tolist() == [112, 113, 114, 115, 116, 117]


def test_each_worker_reads_its_own_rows() -> None:
    """The function that TensorFlow calls on a worker, called as for the second of two with two devices each."""

    class SecondWorker:
        num_replicas_in_sync = 4

        def distribute_datasets_from_function(self, make: Any) -> Any:
            return make(tf.distribute.InputContext(num_input_pipelines=2, input_pipeline_id=1, num_replicas_in_sync=4))

    parts = iter(training_stream(SecondWorker(), Numbers(), 8, seed=0, first_step=0))
    assert [next(parts)[:, 0, 0, 0].numpy().tolist() for _ in range(3)] == [[4, 5], [6, 7], [12, 13]]


def test_rows_shared_by_replicas_give_the_output_of_one_device(two: tf.distribute.Strategy) -> None:
    """Five rows for two replicas: one is filled up and its output dropped. Outputs keep their names and their order."""
    images = np.arange(10, dtype=np.float32).reshape(5, 2)

    def extract(rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"doubled": 2 * rows, "sum": tf.reduce_sum(rows, axis=1)}

    assert share_rows(extract) is extract, "one device shares nothing"
    with two.scope():
        shared = share_rows(extract)(images)
    np.testing.assert_array_equal(shared["doubled"], 2 * images)
    np.testing.assert_array_equal(shared["sum"], images.sum(axis=1))


def test_a_batch_is_filled_up_with_its_last_row() -> None:
    rows = tf.constant([[1, 2], [3, 4]])
    assert fill_up(rows, 4).numpy().tolist() == [[1, 2], [3, 4], [3, 4], [3, 4]]
    assert fill_up(rows, 2).numpy().tolist() == [[1, 2], [3, 4]]


# --- among workers ----------------------------------------------------------------------------------------------------


def test_one_process_agrees_with_itself(two: tf.distribute.Strategy) -> None:
    assert of_all_workers(two, 7) == [7]
    agree(two, 7, "step")
    leave(two)


def test_a_lost_worker_is_one_line_where_there_are_several() -> None:
    class Several:
        class cluster_resolver:  # noqa: N801
            task_id = 1

            @staticmethod
            def cluster_spec() -> Any:
                return tf.train.ClusterSpec({"worker": ["a:1", "b:2"]})

    error = tf.errors.UnavailableError(None, None, "Connection reset by peer")
    with pytest.raises(UserError, match="worker 1 stops.*--resume"), lost_workers(Several()):
        raise error
    with pytest.raises(tf.errors.UnavailableError), lost_workers(tf.distribute.get_strategy()):
        raise error
