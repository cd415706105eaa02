"""How workers come together: every mistake of a launch is one clear line."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tf_spot.distributed.rendezvous import Cluster, meet, read_cluster
from tf_spot.errors import UserError

# --- TF_CONFIG --------------------------------------------------------------------------------------------------------


def config(worker: Any = ("a:1", "b:2"), index: Any = 0, kind: str = "worker", **more: Any) -> str:
    return json.dumps({"cluster": {"worker": worker, **more}, "task": {"type": kind, "index": index}})


def test_tf_config_names_the_workers_and_this_one() -> None:
    assert read_cluster({"TF_CONFIG": config(index=1)}) == (("a:1", "b:2"), 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "not set.*it looks like this"),
        ("{", "must be JSON of the right form"),
        ("[]", "must be JSON of the right form"),
        ('{"cluster": {}, "task": {}}', "must be JSON of the right form"),
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


def test_a_list_of_workers_has_a_name_of_its_own() -> None:
    """Whichever of them asks; another order is another list, as the indices differ."""
    assert Cluster(("a:1", "b:2"), 0).name == Cluster(("a:1", "b:2"), 1).name
    assert Cluster(("a:1", "b:2"), 0).name != Cluster(("b:2", "a:1"), 0).name


# --- meeting ----------------------------------------------------------------------------------------------------------


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


def test_workers_meet_though_one_is_late_and_leave_their_ports(
    addresses: tuple[str, ...], pool: ThreadPoolExecutor
) -> None:
    early = [pool.submit(meet, Cluster(addresses, index), 20) for index in (1, 2)]
    threading.Event().wait(0.5)
    assert not any(worker.done() for worker in early)
    meet(Cluster(addresses, 0), 20)
    for worker in early:
        worker.result(20)
    for address in addresses:
        socket.create_server(("127.0.0.1", int(address.split(":")[1]))).close()


def test_a_worker_that_does_not_come_is_named(addresses: tuple[str, ...], pool: ThreadPoolExecutor) -> None:
    other = pool.submit(meet, Cluster(addresses, 1), 1)
    with pytest.raises(UserError, match=f"worker 2 must be reached at {addresses[2]}; no answer from it in 1 s"):
        meet(Cluster(addresses, 0), 1)
    with pytest.raises(UserError, match="no answer from it"):
        other.result()


def test_two_workers_with_one_index_are_found(addresses: tuple[str, ...], pool: ThreadPoolExecutor) -> None:
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


def test_workers_of_different_lists_do_not_take_each_other_for_theirs(
    addresses: tuple[str, ...], pool: ThreadPoolExecutor
) -> None:
    """The second has the addresses of the first two the other way round, and so listens where worker 1 should."""
    other = pool.submit(meet, Cluster((addresses[1], addresses[2]), 0), 3)
    with pytest.raises(UserError, match=f"{addresses[1]} must be worker 1.*worker 0 of another list of workers"):
        meet(Cluster(addresses[:2], 0), 3)
    with pytest.raises(UserError, match="no answer from it"):
        other.result()


def test_a_stranger_on_the_line_does_no_harm(addresses: tuple[str, ...], pool: ThreadPoolExecutor) -> None:
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
