"""Devices for a training, and how workers come together: every mistake of a launch is one clear line."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_spot.config import preset
from tf_spot.distributed.rendezvous import Cluster, meet, read_cluster
from tf_spot.distributed.strategies import (
    check_batch,
    is_chief,
    lost_workers,
    make_strategy,
    num_workers,
    training_stream,
)
from tf_spot.errors import UserError
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.training.train import train


@pytest.fixture(scope="module")
def two() -> Any:
    return make_strategy("mirrored")


def small(**settings: Any) -> Autoencoder:
    return Autoencoder(image_size=8, width=0.0625, levels=2, **settings)


# --- which devices ---------------------------------------------------------------------------------------------------


def test_mirrored_takes_every_logical_device_and_auto_one_cpu(two: Any) -> None:
    assert two.num_replicas_in_sync == 2 and make_strategy("mirrored") is two
    for name in ("auto", "none"):
        assert make_strategy(name) is tf.distribute.get_strategy()
        assert make_strategy(name).num_replicas_in_sync == 1
    with two.scope():
        assert make_strategy("auto") is two
    assert (num_workers(two), is_chief(two)) == (1, True)


def test_an_unknown_strategy_and_a_batch_that_does_not_divide_are_refused(two: Any, tmp_path: Any) -> None:
    with pytest.raises(UserError, match="auto, none, mirrored, multiworker; received: 'tpu'"):
        make_strategy("tpu")
    check_batch(two, 8)
    config = preset("tiny").replace(**{"training.batch_size": 7})
    with pytest.raises(UserError, match="received: 7 for 2 replicas"):
        train(config, "photos", tmp_path / "run", strategy="mirrored")
    assert not (tmp_path / "run").exists()


class Numbers:
    """A source whose image number i is filled with i."""

    def unlabelled(self, batch_size: int, *, seed: int, first_step: int, share: Any = (0, 1)) -> tf.data.Dataset:
        numbers = tf.data.Dataset.counter(first_step * batch_size).map(lambda i: tf.cast(i + 100 * seed, tf.float32))
        batches = numbers.map(lambda i: tf.fill((2, 2, 3), i)).batch(batch_size, drop_remainder=True)
        return batches.map(lambda images: tf.split(images, share[1])[share[0]])


def test_each_replica_reads_its_rows_of_every_global_batch_in_order(two: Any) -> None:
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


# --- what several replicas cannot do ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"global_clipnorm": 1.0}, "clipping.*received: global_clipnorm=1.0"),
        ({"clipnorm": 1.0}, "clipping.*received: clipnorm=1.0"),
        ({"clipvalue": 1.0}, "clipping.*received: clipvalue=1.0"),
        ({"gradient_accumulation_steps": 2}, "gradient accumulation.*received: gradient_accumulation_steps=2"),
    ],
)
def test_optimizers_that_several_replicas_cannot_have_are_refused(two: Any, settings: Any, says: str) -> None:
    small().compile(keras.optimizers.Adam(1e-3, **settings))  # one device can
    with two.scope():
        autoencoder = small()
        with pytest.raises(UserError, match=f"2 replicas cannot use {says}"):
            autoencoder.compile(keras.optimizers.Adam(1e-3, **settings))
        spotter = ArtifactSpotter(small())
        with pytest.raises(UserError, match=f"2 replicas cannot use {says}"):
            spotter.compile(repair_optimizer=keras.optimizers.Adam(1e-3, **settings))


def test_several_steps_in_one_execution_are_refused_under_replicas(two: Any) -> None:
    with two.scope(), pytest.raises(UserError, match="received: steps_per_execution=2"):
        small().compile(steps_per_execution=2)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16", "float64"])
def test_other_precisions_are_refused(policy: str) -> None:
    with pytest.raises(UserError, match=f"in float32 or mixed_bfloat16; received: dtype policy {policy};"):
        small(dtype=policy).compile()


def test_parts_made_outside_of_the_scope_are_refused_with_the_cure(two: Any) -> None:
    images = np.zeros((4, 8, 8, 3), "float32")
    outside = keras.optimizers.Adam()
    with (
        two.scope(),
        pytest.raises(UserError, match=r"received: optimizer adam.*, made outside.*with strategy.scope\(\)"),
    ):
        small().compile(outside)
    model = small()
    model.compile()
    with two.scope(), pytest.raises(UserError, match=r"received: the model, .*with strategy.scope\(\)"):
        model.fit(images, batch_size=4, verbose=0)
    with two.scope(), pytest.raises(UserError, match="received: the model"):
        ArtifactSpotter(model).compile()


def test_batches_that_the_replicas_cannot_share_are_refused_by_fit(two: Any) -> None:
    with two.scope():
        model = small()
    model.compile()  # its optimizer is made in the scope of the model
    images = np.zeros((9, 8, 8, 3), "float32")
    for data, settings, received in [
        (images, {"batch_size": 3}, "batches of 3"),
        (images, {"batch_size": 4}, "batches whose size may vary"),
        (tf.data.Dataset.from_tensor_slices(images).batch(4), {}, "batches whose size may vary"),
    ]:
        with pytest.raises(UserError, match=f"divide by the 2 replicas; received: {received}"):
            model.fit(data, verbose=0, **settings)


# --- TF_CONFIG -------------------------------------------------------------------------------------------------------


def config(worker: Any = ("a:1", "b:2"), index: Any = 0, kind: str = "worker", **more: Any) -> str:
    return json.dumps({"cluster": {"worker": worker, **more}, "task": {"type": kind, "index": index}})


def test_tf_config_names_the_workers_and_this_one() -> None:
    assert read_cluster({"TF_CONFIG": config(index=1)}) == (("a:1", "b:2"), 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "not set.*it looks like this"),
        ("{", "no JSON of the right form"),
        ("[]", "no JSON of the right form"),
        ('{"cluster": {}, "task": {}}', "no JSON of the right form"),
        (config(chief=["c:3"]), "type worker only"),
        (config(kind="ps"), "type worker only"),
        (config(worker=["a:1"]), "two or more workers"),
        (config(worker=["a:1", "b"]), "two or more workers as HOST:PORT"),
        (config(worker=["a:1", "b:99999"]), "two or more workers as HOST:PORT"),
        (config(worker=["a:1", "a:1"]), "an address of its own"),
        (config(index=2), "0 to 1; received: 2"),
        (config(index=-1), "0 to 1; received: -1"),
        (config(index="0"), "0 to 1; received: '0'"),
    ],
)
def test_a_wrong_tf_config_is_refused(text: str | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_cluster({} if text is None else {"TF_CONFIG": text})


# --- meeting ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def addresses() -> tuple[str, ...]:
    """Three free ports of this machine."""
    return free_addresses(3)


def free_addresses(count: int) -> tuple[str, ...]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return tuple(f"127.0.0.1:{port}" for port in ports)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


def test_workers_meet_though_one_is_late_and_leave_their_ports(addresses: Any, pool: ThreadPoolExecutor) -> None:
    early = [pool.submit(meet, Cluster(addresses, index), 20) for index in (1, 2)]
    threading.Event().wait(0.5)
    assert not any(worker.done() for worker in early)
    meet(Cluster(addresses, 0), 20)
    for worker in early:
        worker.result(20)
    for address in addresses:
        socket.create_server(("127.0.0.1", int(address.split(":")[1]))).close()


def test_a_worker_that_does_not_come_is_named(addresses: Any, pool: ThreadPoolExecutor) -> None:
    other = pool.submit(meet, Cluster(addresses, 1), 1)
    with pytest.raises(UserError, match=f"worker 2 must be reached at {addresses[2]}; no word from it in 1 s"):
        meet(Cluster(addresses, 0), 1)
    with pytest.raises(UserError, match="no word from it"):
        other.result()


def test_two_workers_with_one_index_are_found(addresses: Any, pool: ThreadPoolExecutor) -> None:
    pair = addresses[:2]
    first = pool.submit(meet, Cluster(pair, 0), 3)
    while True:  # until the first listens
        try:
            socket.create_connection(("127.0.0.1", int(pair[0].split(":")[1]))).close()
            break
        except OSError:
            threading.Event().wait(0.05)
    with pytest.raises(UserError, match="worker 0 must be reached at .*port is in use.*another worker with the same"):
        meet(Cluster(pair, 0), 3)
    with pytest.raises(UserError, match="worker 1 must be reached"):
        first.result()


def test_an_address_of_another_machine_and_an_unknown_host_are_refused() -> None:
    with pytest.raises(UserError, match="worker 0 must be reached at 192.0.2.1:2222.*not an address of this machine"):
        meet(Cluster(("192.0.2.1:2222", "127.0.0.1:2223"), 0), 1)
    with pytest.raises(UserError, match="worker 0 must be reached at no-such-host.invalid:2222"):
        meet(Cluster(("no-such-host.invalid:2222", "127.0.0.1:2223"), 0), 1)


def test_workers_of_different_lists_do_not_take_each_other_for_theirs(addresses: Any, pool: ThreadPoolExecutor) -> None:
    """The second has the addresses of the first two the other way round, and so listens where worker 1 should."""
    other = pool.submit(meet, Cluster((addresses[1], addresses[2]), 0), 3)
    with pytest.raises(UserError, match=f"{addresses[1]} must be worker 1.*worker 0 of another list of workers"):
        meet(Cluster(addresses[:2], 0), 3)
    with pytest.raises(UserError, match="no word from it"):
        other.result()


def test_a_stranger_on_the_line_does_no_harm(addresses: Any, pool: ThreadPoolExecutor) -> None:
    pair = addresses[:2]
    first = pool.submit(meet, Cluster(pair, 0), 20)
    while True:
        try:
            with socket.create_connection(("127.0.0.1", int(pair[0].split(":")[1]))) as line:
                line.sendall(b"GET / HTTP/1.1\r\n\r\n")
            break
        except OSError:
            threading.Event().wait(0.05)
    meet(Cluster(pair, 1), 20)
    first.result(20)


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
