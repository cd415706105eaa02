"""Workers meeting before TensorFlow starts: the mistakes of a launch, each found and named.

TensorFlow itself waits without a word for a worker that never comes, and mixes up two that claim one index. So each
worker first listens at its own address and calls every other one until all have answered.
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
from typing import Any, NamedTuple

from tf_spot.errors import UserError

STRATEGIES = ("auto", "none", "mirrored", "multiworker")  # here, where no TensorFlow is needed to name them
WAIT = 300.0  # seconds that workers wait for each other at the start
_EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
_PAUSE = 0.2  # seconds between two calls
_ANSWER = 5.0  # seconds an answer may take


class Cluster(NamedTuple):
    """Who takes part, and which of them this process is."""

    addresses: tuple[str, ...]  # HOST:PORT of every worker
    worker: int  # the place of this process in it

    @property
    def name(self) -> str:
        """Tells this list of workers from another."""
        return hashlib.sha256(" ".join(self.addresses).encode()).hexdigest()[:16]


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that TF_CONFIG describes.

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
        raise UserError(f"TF_CONFIG is no JSON of the right form ({error!r}); received: {text}; {_form()}") from error
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


def _is_address(value: Any) -> bool:
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


def meet(cluster: Cluster, wait_seconds: float) -> None:
    """Returns when all workers have heard of each other.

    Args:
        cluster: the same list of workers on all of them.
        wait_seconds: how long the others may take to start.

    Raises:
        UserError: the own address cannot be used, another worker does not come, or one says it is somebody else.
    """
    deadline = time.monotonic() + wait_seconds
    with _listen(cluster) as listener:
        heard: set[int] = {cluster.worker}
        answering = threading.Thread(target=_answer, args=(listener, cluster, heard), daemon=True)
        answering.start()
        for index in range(len(cluster.addresses)):
            if index != cluster.worker:
                _call(cluster, index, deadline, wait_seconds)
        while len(heard) < len(cluster.addresses):
            if time.monotonic() > deadline:
                silent = sorted(set(range(len(cluster.addresses))) - heard)
                raise _late(cluster, silent[0], wait_seconds)
            time.sleep(_PAUSE / 4)
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
        answering.join()


def _listen(cluster: Cluster) -> socket.socket:
    address = cluster.addresses[cluster.worker]
    host, _, port = address.rpartition(":")
    try:
        family, *_, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free
        try:
            listener.bind(place)
            listener.listen()
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: "its port is in use: by another program, or by another worker with the same index",
            errno.EADDRNOTAVAIL: "that is not an address of this machine: is the index or the address wrong",
        }
        reason = reasons.get(error.errno or 0, str(error))
        raise UserError(
            f"worker {cluster.worker} must be reached at {address}, as TF_CONFIG says; {reason}; mend TF_CONFIG"
        ) from error
    return listener


def _answer(listener: socket.socket, cluster: Cluster, heard: set[int]) -> None:
    """Tells every caller who this is, and notes who called, until the listener closes."""
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
                continue  # a stranger, or a caller that died
            if name == cluster.name:
                heard.add(index)


def _call(cluster: Cluster, index: int, deadline: float, wait_seconds: float) -> None:
    """Calls worker `index` until it answers."""
    host, _, port = cluster.addresses[index].rpartition(":")
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER) as line:
                _write(line, cluster)
                found = _read(line)
            break
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                raise _late(cluster, index, wait_seconds) from error
            time.sleep(_PAUSE)
    if found != (cluster.name, index):
        what = f"worker {found[1]}" + ("" if found[0] == cluster.name else " of another list of workers")
        raise UserError(
            f"{cluster.addresses[index]} must be worker {index}; it says that it is {what}; every worker needs the "
            "same TF_CONFIG but for its index"
        )


def _late(cluster: Cluster, index: int, wait_seconds: float) -> UserError:
    return UserError(
        f"worker {index} must be reached at {cluster.addresses[index]}; no word from it in {wait_seconds:g} s; start "
        "it, mend its address in TF_CONFIG, or wait longer with --wait"
    )


def _write(line: socket.socket, cluster: Cluster) -> None:
    line.sendall(f"tf-spot {cluster.name} {cluster.worker}\n".encode())


def _read(line: socket.socket) -> tuple[str, int]:
    """(cluster name, index); ValueError from somebody who is no worker."""
    with line.makefile("rb") as file:
        greeting, name, index = file.readline(100).decode("ascii").split()
    if greeting != "tf-spot":
        raise ValueError(greeting)
    return name, int(index)
