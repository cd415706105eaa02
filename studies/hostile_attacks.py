"""The attacks of `hostile_requests.py`: each is sent to a server and returns a verdict.

`refused` and `answered` are what a server may do; any other verdict says what went wrong.
"""

from __future__ import annotations

import base64
import io
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
from PIL import Image

import tf_spot

ROOT = Path(__file__).resolve().parent.parent
MIB = 2**20
PREDICT = "/tensorflow.serving.PredictionService/Predict"
PATIENCE = 60.0  # seconds for one attack
REFUSALS = (400, 404, 413, 429, 504)
CODES = ("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "DEADLINE_EXCEEDED", "CANCELLED")


class Server:
    """`tf-spot serve` with one exported model, and what is measured of it."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log.txt"
        command = [
            sys.executable,
            "-m",
            "tf_spot",
            "serve",
            str(export(folder)),
            "--rest-port",
            "0",
            "--grpc-port",
            "0",
        ]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT)
        lines = [self.process.stdout.readline() if self.process.stdout else "" for _ in range(3)]
        if not lines[2]:
            raise RuntimeError(self.log.read_text())
        self.model_url, self.target = lines[0].split()[1], lines[1].split()[1]
        self.address = self.model_url.split("/")[2]
        self.predict_url = f"{self.model_url}:predict"
        self.peak = 0.0

    def memory(self) -> float:
        """Return the resident memory of the process in MiB."""
        fields = Path(f"/proc/{self.process.pid}/status").read_text().split()
        return int(fields[fields.index("VmRSS:") + 1]) / 1024

    def post(self, body: bytes) -> str:
        """Send a predict request over REST; return its status as a verdict."""
        answer = httpx.post(self.predict_url, content=body, timeout=PATIENCE)
        if answer.status_code in REFUSALS and list(answer.json()) == ["error"]:
            return "refused"
        return "answered" if answer.status_code == 200 else f"status {answer.status_code}: {answer.text[:100]}"

    def call(self, message: bytes, path: str = PREDICT) -> str:
        """Send bytes over gRPC; return the code as a verdict."""
        limits = [("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(self.target, options=limits) as channel:
            try:
                channel.unary_unary(path)(message, timeout=PATIENCE)
            except grpc.RpcError as error:
                code = error.code().name
                return "refused" if code in CODES else f"{code}: {error.details()}"
        return "answered"


def export(folder: Path) -> Path:
    """Export an untrained network; return the folder to be served."""
    from tf_spot.models.from_config import build_autoencoder, build_spotter

    config = tf_spot.preset("tiny").replace(**{"network.width": 0.125, "network.fc_units": 16})
    tf_spot.export_saved_model(build_spotter(config, build_autoencoder(config)), folder / "exported", config=config)
    return folder / "exported" / "features"


# --- attacks: each takes the server and a source of random numbers, and returns a verdict -----------------------------

Attack = Callable[[Server, random.Random], str]


def repeated(begin: bytes, value: bytes, end: bytes) -> Attack:
    """Return an attack by a JSON body of up to 60 MiB in which one value is repeated."""

    def attack(server: Server, chance: random.Random) -> str:
        return server.post(begin + value * (chance.randint(MIB, 60 * MIB) // len(value)) + end)

    return attack


def photo(*contents: bytes) -> bytes:
    """Return the body of a request with encoded photos."""
    rows = [{"b64": base64.b64encode(content).decode()} for content in contents]
    return json.dumps({"signature_name": "image_bytes", "instances": rows}).encode()


def picture(form: str, size: int = 20) -> bytes:
    """Return a grey picture as a file."""
    buffer = io.BytesIO()
    Image.new("I;16" if size > 1000 else "RGB", (size, size)).save(buffer, form)
    return buffer.getvalue()


def other_format(server: Server, chance: random.Random) -> str:
    content = chance.choice([picture("GIF"), picture("WEBP"), picture("BMP"), chance.randbytes(5000), b"", b"x" * 30])
    answer = httpx.post(server.predict_url, content=photo(content), timeout=PATIENCE)
    return "refused" if answer.status_code == 400 and "JPEG or PNG" in answer.text else f"answers {answer.text[:200]}"


def damaged_photo(server: Server, chance: random.Random) -> str:
    content = bytearray(picture(chance.choice(["PNG", "JPEG"])))
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return server.post(photo(bytes(content[: chance.randint(1, len(content))])))


def great_photo(server: Server, chance: random.Random) -> str:
    return server.post(photo(*[picture("PNG", chance.choice([9_000, 10_000, 10_001]))] * chance.randint(1, 10)))


def changed_json(server: Server, chance: random.Random) -> str:
    body = bytearray(photo(picture("PNG")))
    for _ in range(chance.randint(1, 8)):
        body[chance.randrange(len(body))] = chance.choice(b'[]{}",:0-\\ntf\xff')
    return server.post(bytes(body))


def odd_value(server: Server, chance: random.Random) -> str:
    value: Any = chance.choice(
        [[[[]]], {"b64": [[]]}, [[{"b64": "aa"}]], 10**400, None, "x", {}, [True], {"a": {"b": 1}}]
    )
    for _ in range(chance.randint(0, 40)):
        value = [value]
    signature = chance.choice(["serving_default", "image_bytes", "", [[]], {}, None, "x" * 1000])
    return server.post(
        json.dumps({"signature_name": signature, chance.choice(["instances", "inputs"]): value}).encode()
    )


def broken_off(server: Server, chance: random.Random) -> str:
    """Half a request, then nothing."""
    with socket.create_connection(server.address.split(":"), timeout=PATIENCE) as connection:
        head = f"POST {server.predict_url} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".encode()
        connection.sendall((head + b"[" * 1000)[: chance.randint(1, len(head) + 1000)])
    return "refused"


def no_http(server: Server, chance: random.Random) -> str:
    with socket.create_connection(server.address.split(":"), timeout=PATIENCE) as connection, suppress(OSError):
        connection.sendall(chance.randbytes(chance.randint(1, 100_000)) + b"\r\n\r\n")
        connection.settimeout(2)
        connection.recv(1000)
    return "refused"


def tiny_chunks(server: Server, chance: random.Random) -> str:
    chunks = (b"[" for _ in range(chance.randint(1000, 20_000)))
    answer = httpx.post(server.predict_url, content=chunks, timeout=PATIENCE)
    return "refused" if answer.status_code in REFUSALS else f"status {answer.status_code}"


def idle_connections(server: Server, chance: random.Random) -> str:
    host, port = server.address.split(":")
    connections = []
    with suppress(OSError):
        for _ in range(chance.randint(200, 800)):
            connections.append(socket.create_connection((host, port), timeout=5))
    time.sleep(1)
    for connection in connections:
        connection.close()
    return "refused"


def request(**fields: Any) -> bytes:
    """Return a PredictRequest with one input, a TensorProto of these fields."""
    from tensorflow.core.framework.tensor_pb2 import TensorProto
    from tensorflow_serving.apis import predict_pb2

    sizes = fields.pop("sizes", ())
    tensor = TensorProto(**fields)
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    message = predict_pb2.PredictRequest(inputs={"images": tensor})
    message.model_spec.name = "features"
    return bytes(message.SerializeToString())


def claim(server: Server, chance: random.Random) -> str:
    sizes = [chance.choice([1, 32, 10**6, 2**40, -1]) for _ in range(chance.randint(1, 6))]
    return server.call(request(dtype=chance.choice([1, 3, 7]), float_val=[1.0], sizes=sizes))


def odd_dtype(server: Server, chance: random.Random) -> str:
    return server.call(request(dtype=chance.choice([0, 20, 21, 23, 99, 101, 2**31 - 1]), sizes=[1]))


def empty_fields(server: Server, chance: random.Random) -> str:
    """Two bytes each: empty inputs, output filters, axes, strings or resources."""
    count = chance.randint(100_000, 20 * MIB)
    field = chance.choice([b"\x12\x00", b"\x1a\x00", b"\x0a\x00"])
    if chance.random() < 0.5:
        inside = chance.choice([b"\x42\x00", b"\x72\x00", b"\x7a\x00"]) * count
        return server.call(with_tensor(b"\x08\x07" + inside))
    return server.call(field * count)


def with_tensor(tensor: bytes) -> bytes:
    """Return a PredictRequest with one input, a TensorProto of these bytes."""
    entry = b"\x0a\x06images\x12" + varint(len(tensor)) + tensor
    return b"\x12" + varint(len(entry)) + entry


def varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def many_integers(server: Server, chance: random.Random) -> str:
    packed = b"\x01" * chance.randint(MIB, 50 * MIB)
    return server.call(with_tensor(b"\x08\x09" + b"\x52" + varint(len(packed)) + packed))


def changed_message(server: Server, chance: random.Random) -> str:
    message = bytearray(request(dtype=1, sizes=[1, 16, 16, 3], float_val=[0.5]))
    for _ in range(chance.randint(1, 6)):
        message[chance.randrange(len(message))] = chance.randrange(256)
    return server.call(bytes(message))


def large_other_call(server: Server, chance: random.Random) -> str:
    path = chance.choice(
        ["PredictionService/GetModelMetadata", "ModelService/GetModelStatus", "PredictionService/Classify"]
    )
    return server.call(b"\x12\x00" * chance.randint(1000, 10 * MIB), f"/tensorflow.serving.{path}")


ATTACKS: dict[str, Attack] = {
    "JSON: empty lists": repeated(b'{"instances": [', b"[],", b"[]]}"),
    "JSON: numbers": repeated(b'{"instances": [', b"1,", b"1]}"),
    "JSON: objects": repeated(b'{"instances": [', b"{},", b"{}]}"),
    "JSON: ragged": repeated(b'{"inputs": [', b"[1],[],", b"[]]}"),
    "JSON: strings": repeated(b'{"inputs": [', b'"",', b'""]}'),
    "JSON: deep": repeated(b"", b"[", b""),
    "JSON: names": repeated(b"{", b'"a":{},', b'"inputs":1}'),
    "JSON: escapes": repeated(b'{"inputs": "', b'\\"', b""),
    "JSON: space": repeated(b'{"inputs":', b" ", b""),
    "JSON: changed bytes": changed_json,
    "JSON: odd values": odd_value,
    "photo: another format": other_format,
    "photo: damaged": damaged_photo,
    "photo: great": great_photo,
    "HTTP: broken off": broken_off,
    "HTTP: no HTTP": no_http,
    "HTTP: chunks of one byte": tiny_chunks,
    "HTTP: idle connections": idle_connections,
    "gRPC: claimed shapes": claim,
    "gRPC: dtypes": odd_dtype,
    "gRPC: empty fields": empty_fields,
    "gRPC: integers": many_integers,
    "gRPC: changed bytes": changed_message,
    "gRPC: other calls": large_other_call,
}
