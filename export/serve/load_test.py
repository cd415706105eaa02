"""Load on a server: many clients, a new version in the middle, some malformed requests.

    python export/serve/load_test.py --seconds 300 --out results/serving-load.json

Starts `tf-spot serve` on two versions of a small model whose right answers are known, and asks it from as many
clients as told, half of them over REST. Version 1 is served first; halfway version 2 takes its place. Every answer is
checked. Ends with code 1 if one was wrong or lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

IMAGE_SIZE = 32  # pixels
NAME = "mean"
PACKAGES = ("grpcio", "httpx", "starlette", "tensorflow-serving-api", "uvicorn")


@dataclass
class Found:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)  # of each answered request
    by_version: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    by_protocol: dict[str, int] = field(default_factory=lambda: {"rest": 0, "grpc": 0})
    refused_as_expected: int = 0  # malformed requests
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def write_version(folder: Path, version: int) -> None:
    """A model that answers with the mean of each image plus its own version number, after a little work."""
    import tensorflow as tf

    module = tf.Module()
    module.filters = tf.Variable(tf.random.stateless_normal((3, 3, 3, 16), (1, 2)))
    module.version = tf.Variable(float(version))

    @tf.function(input_signature=[tf.TensorSpec((None, IMAGE_SIZE, IMAGE_SIZE, 3), tf.float32, "images")])
    def score(images: Any) -> dict[str, Any]:
        features = tf.nn.relu(tf.nn.conv2d(images, module.filters, 1, "SAME"))
        return {
            "score": tf.reduce_mean(images, axis=[1, 2, 3]) + module.version,
            "features": tf.reduce_mean(features, axis=[1, 2]),
        }

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def encoded(image_bytes: Any) -> dict[str, Any]:
        def decode(one: Any) -> Any:
            image = tf.cast(tf.io.decode_png(one, 3), tf.float32) / 127.5 - 1
            return tf.ensure_shape(image, (IMAGE_SIZE, IMAGE_SIZE, 3))

        return score(tf.map_fn(decode, image_bytes, fn_output_signature=tf.float32))

    module.score, module.encoded = score, encoded
    aside = folder / f".aside-{version}"
    tf.saved_model.save(module, str(aside), {"serving_default": score, "image_bytes": encoded})
    aside.rename(folder / str(version))


class Server:
    """`tf-spot serve` as a process of its own."""

    def __init__(self, folder: Path, max_queue: int) -> None:
        command = [sys.executable, "-m", "tf_spot", "serve", str(folder), "--rest-port", "0", "--grpc-port", "0"]
        options = ["--name", NAME, "--poll-seconds", "0.2", "--max-queue", str(max_queue)]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        lines = [self.process.stdout.readline().split() for _ in range(3)] if self.process.stdout else []
        if len(lines[-1]) < 2:
            sys.exit("the server did not start")
        self.places = {"rest": lines[0][1].split("/v1/")[0], "grpc": lines[1][1]}

    def memory(self, name: str = "VmRSS") -> float:
        """MiB; `VmHWM` is the most it ever was."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith(name))
        return int(line.split()[1]) / 1024


async def one_client(number: int, server: Server, end: float, malformed_share: float, found: Found) -> None:
    """Asks again and again until the time is up."""
    from tf_spot.serving import AsyncClient

    protocol = "rest" if number % 2 else "grpc"
    draw = random.Random(number)
    images = np.random.default_rng(number)
    async with AsyncClient(server.places[protocol], model=NAME, protocol=protocol, timeout=60, retries=50) as client:
        while time.monotonic() < end:
            if draw.random() < malformed_share:
                await malformed(client, draw, found)
            else:
                batch = images.uniform(-1, 1, (draw.randint(1, 4), IMAGE_SIZE, IMAGE_SIZE, 3)).astype(np.float32)
                await asked(client, protocol, batch, found)


async def asked(client: Any, protocol: str, images: np.ndarray, found: Found) -> None:
    """One good request: its answer must be the mean of each image plus the number of one of the two versions."""
    from tf_spot.serving import ServingError

    started = time.monotonic()
    try:
        answer = await client.predict(images)
    except ServingError as error:
        found.lost.append(str(error))
        return
    found.seconds.append(time.monotonic() - started)
    found.by_protocol[protocol] += 1
    added = answer["score"] - images.mean((1, 2, 3))
    nearest = int(round(float(added[0])))
    if nearest not in found.by_version or added.shape != images.shape[:1] or abs(added - nearest).max() > 1e-4:
        found.wrong.append(f"added {added.tolist()}")
    else:
        found.by_version[nearest] += 1


async def malformed(client: Any, draw: random.Random, found: Found) -> None:
    """One bad request: it must be refused with INVALID_ARGUMENT, nothing else."""
    from tf_spot.serving import ServingError

    bad = draw.choice(
        [
            [b"\x89PNG\r\n\x1a\n truncated"],
            [b"not an image"],
            np.zeros((1, IMAGE_SIZE + 1, IMAGE_SIZE, 3), np.float32),
            {"pictures": np.zeros((1, 2), np.float32)},
        ]
    )
    try:
        await client.predict(bad)
        found.wrong.append("a malformed request was answered")
    except ServingError as error:
        if error.code == "INVALID_ARGUMENT":
            found.refused_as_expected += 1
        else:
            found.lost.append(str(error))


async def load(server: Server, folder: Path, options: argparse.Namespace) -> tuple[Found, list[float], float]:
    """All clients, the swap halfway, and the server's memory, looked at ten times."""
    found, memory = Found(), []
    started = time.monotonic()
    end = started + options.seconds
    clients = [
        asyncio.create_task(one_client(number, server, end, options.malformed, found))
        for number in range(options.clients)
    ]
    for tenth in range(1, 11):
        await asyncio.sleep(max(0.0, started + options.seconds * tenth / 10 - time.monotonic()))
        memory.append(round(server.memory(), 1))
        if tenth == 5:
            await asyncio.to_thread(swap, folder)
    await asyncio.gather(*clients)
    return found, memory, time.monotonic() - started


def swap(folder: Path) -> None:
    """Version 2 takes the place of version 1."""
    (folder / ".ready-2").rename(folder / "2")
    shutil.rmtree(folder / "1")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for version in (1, 2):
            write_version(folder, version)
        (folder / "2").rename(folder / ".ready-2")
        server = Server(folder, options.max_queue)
        try:
            found, memory, seconds = asyncio.run(load(server, folder, options))
            peak = server.memory("VmHWM")
        finally:
            server.process.terminate()
            stopped = server.process.wait(60)
    return figures(options, found, memory, seconds) | {"peak_memory_mib": round(peak, 1), "exit_code": stopped}


def figures(options: argparse.Namespace, found: Found, memory: list[float], seconds: float) -> dict[str, Any]:
    milliseconds = 1000 * np.array(found.seconds or [float("nan")])
    return {
        "seconds": round(seconds, 1),
        "clients": options.clients,
        "max_queue": options.max_queue,
        "malformed_share": options.malformed,
        "answered": len(found.seconds),
        "answered_by_version": found.by_version,
        "answered_by_protocol": found.by_protocol,
        "malformed_refused": found.refused_as_expected,
        "wrong": len(found.wrong),
        "lost": len(found.lost),
        "examples": (found.wrong + found.lost)[:5],
        "requests_per_second": round(len(found.seconds) / seconds, 1),
        "latency_ms": {f"p{at}": round(float(np.percentile(milliseconds, at)), 1) for at in (50, 99)},
        "memory_mib": memory,
    }


def record(result: dict[str, Any], command: list[str]) -> dict[str, Any]:
    """The figures with what is needed to judge and repeat them."""
    from tf_spot.storage.provenance import provenance

    told = provenance(" ".join(["python", "export/serve/load_test.py", *command]))
    told["versions"] |= {name: version(name) for name in PACKAGES}
    head = {"task": "serving-load", "metric": "requests_per_second", "value": result["requests_per_second"]}
    return head | result | told


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--malformed", type=float, default=0.01, help="share of malformed requests")
    parser.add_argument("--max-queue", type=int, default=256, help="the server's; smaller than --clients: it refuses")
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    words = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(words)
    result = record(measure(options), words)
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    swapped = all(result["answered_by_version"].values())
    return 0 if swapped and not result["wrong"] and not result["lost"] else 1


if __name__ == "__main__":
    sys.exit(main())
