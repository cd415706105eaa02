"""The meeting of workers before TensorFlow starts, which finds the mistakes of a launch and names them.

TensorFlow itself waits silently for a worker that never comes, and mixes up two that claim one index. So each worker
first listens at its own address and calls every other one until all have answered. Caller and listener each send one
line, `tf-spot CLUSTER INDEX`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

from tf_spot.errors import UserError

STRATEGIES = ("auto", "none", "mirrored", "multiworker")  # here, as the command line needs them without TensorFlow
WAIT = 300.0  # seconds that workers wait for each other at the start; a default
_EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
_PAUSE = 0.2  # seconds between two calls
_ANSWER = 5.0  # seconds that an answer may take


class Cluster(NamedTuple):
    """The workers of a training, and which of them this process is."""

    addresses: tuple[str, ...]  # HOST:PORT of every worker
    worker: int  # index of this process in `addresses`

    @property
    def name(self) -> str:
        """A digest of the addresses, which tells this list of workers from another."""
        return hashlib.sha256(" ".join(self.addresses).encode()).hexdigest()[:16]


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Return the cluster that TF_CONFIG describes.

    Raises:
        UserError: TF_CONFIG is missing or does not describe at least two workers and this one among them.
    """
    text = environment.get("TF_CONFIG")
    if not text:
        raise UserError(f"--strategy multiworker reads the environment variable TF_CONFIG, which is not set; {_form()}")
    try:
        config = json.loads(text)
        addresses, task = config["cluster"]["worker"], config["task"]
        index = task["index"]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"TF_CONFIG must be JSON of the right form ({error!r}); received: {text}; {_form()}") from error
    if set(config["cluster"]) != {"worker"} or task.get("type") != "worker":
        raise UserError(f"TF_CONFIG may name tasks of the type worker only; received: {text}; {_form()}")
    if not isinstance(addresses, list) or not all(map(_is_address, addresses)) or len(addresses) < 2:
        raise UserError(f"TF_CONFIG must list two or more workers as HOST:PORT; received: {addresses}; {_form()}")
    if len(set(addresses)) < len(addresses):
        raise UserError(f"TF_CONFIG must give each worker an address of its own; received: {addresses}")
    if type(index) is not int or not 0 <= index < len(addresses):
        raise UserError(f"TF_CONFIG's task index must be 0 to {len(addresses) - 1}; received: {index!r}")
    return Cluster(tuple(addresses), index)


def _form() -> str:
    return f"it looks like this: {_EXAMPLE}"


def _is_address(value: object) -> bool:
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def meet(cluster: Cluster, wait_seconds: float) -> None:
    """Wait until all workers have called each other.

    Args:
        cluster: the same list of workers on all of them.
        wait_seconds: how long the others may take to start.

    Raises:
        UserError: this worker's address cannot be used, another worker does not come, or one answers with another index
            or another list of workers.
    """
    deadline = time.monotonic() + wait_seconds
    with _listen(cluster) as listener:
        heard: set[int] = {cluster.worker}
        answering = threading.Thread(target=_answer, args=(listener, cluster, heard), daemon=True)
        answering.start()
        for index in range(len(cluster.addresses)):
            if index != cluster.worker:
                _call(cluster, index, deadline, wait_seconds)
        # All have answered this worker; it must stay until all have called it too.
        while len(heard) < len(cluster.addresses):
            if time.monotonic() > deadline:
                silent = sorted(set(range(len(cluster.addresses))) - heard)
                raise _late(cluster, silent[0], wait_seconds)
            time.sleep(_PAUSE / 4)
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread from `accept`
        answering.join()


def _listen(cluster: Cluster) -> socket.socket:
    """Open the socket of this worker's own address."""
    address = cluster.addresses[cluster.worker]
    host, _, port = address.rpartition(":")
    try:
        family, *_, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left is free
        try:
            listener.bind(target)
            listener.listen()
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: "its port is in use: by another program, or by another worker with the same index",
            errno.EADDRNOTAVAIL: "that is not an address of this machine: the index or the address is wrong",
        }
        reason = reasons.get(error.errno or 0, str(error))
        raise UserError(
            f"worker {cluster.worker} must be reached at {address}, its address in TF_CONFIG; {reason}; correct "
            "TF_CONFIG"
        ) from error
    return listener


def _answer(listener: socket.socket, cluster: Cluster, heard: set[int]) -> None:
    """Answer every caller with this worker's index and note the caller's in `heard`, until the listener closes."""
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:
            return
        with caller:
            try:
                caller.settimeout(_ANSWER)
                name, index = _read(caller)
                _write(caller, cluster)
            except (OSError, ValueError):
                continue  # another program, or a caller that died
            if name == cluster.name:
                heard.add(index)


def _call(cluster: Cluster, index: int, deadline: float, wait_seconds: float) -> None:
    """Call worker `index` until it answers."""
    host, _, port = cluster.addresses[index].rpartition(":")
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER) as line:
                _write(line, cluster)
                answer = _read(line)
            break
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                raise _late(cluster, index, wait_seconds) from error
            time.sleep(_PAUSE)
    if answer != (cluster.name, index):
        what = f"worker {answer[1]}" + ("" if answer[0] == cluster.name else " of another list of workers")
        raise UserError(
            f"{cluster.addresses[index]} must be worker {index}; it answered as {what}; every worker needs the same "
            "TF_CONFIG but for its index"
        )


def _late(cluster: Cluster, index: int, wait_seconds: float) -> UserError:
    return UserError(
        f"worker {index} must be reached at {cluster.addresses[index]}; no answer from it in {wait_seconds:g} s; "
        "start it, correct its address in TF_CONFIG, or wait longer with --wait"
    )


def _write(line: socket.socket, cluster: Cluster) -> None:
    line.sendall(f"tf-spot {cluster.name} {cluster.worker}\n".encode())


def _read(line: socket.socket) -> tuple[str, int]:
    """Return (cluster name, index); raise ValueError if the other side is no worker."""
    with line.makefile("rb") as file:
        greeting, name, index = file.readline(100).decode("ascii").split()
    if greeting != "tf-spot":
        raise ValueError(greeting)
    return name, int(index)
