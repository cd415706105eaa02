"""The attacks on the server: their bytes, and a run of them against a real one."""

from __future__ import annotations

import random

import pytest

from studies import hostile_attacks, hostile_requests
from studies.hostile_attacks import ATTACKS, photo, picture, request, varint, with_tensor
from tf_spot.serving.predict_wire import WireError, read_message


@pytest.mark.parametrize("number", [99, 300, 20_000, 2**40])
def test_numbers_are_protobufs(number: int) -> None:
    with pytest.raises(WireError, match=f"unknown dtype {number}"):
        read_message(with_tensor(b"\x08" + varint(number)), 2)


def test_an_ordinary_request_is_one() -> None:
    assert read_message(request(dtype=1, sizes=[2, 3], float_val=[1.0]), 2).tensors["images"].shape == (2, 3)


class Recorder:
    """Stands for the server: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def post(self, body: bytes) -> str:
        self.sent.append(body)
        return "refused"

    def call(self, message: bytes, path: str = "") -> str:
        return self.post(message)


@pytest.mark.parametrize(
    "name", ["JSON: changed bytes", "JSON: odd values", "gRPC: claimed shapes", "gRPC: changed bytes"]
)
def test_attacks_are_random_and_repeat_with_their_seed(name: str) -> None:
    def sent(seed: int) -> list[bytes]:
        recorder, chance = Recorder(), random.Random(seed)
        assert {ATTACKS[name](recorder, chance) for _ in range(20)} == {"refused"}
        return recorder.sent

    assert sent(1) == sent(1) != sent(2)


def test_the_table_names_what_failed() -> None:
    result = {
        "rows": {"JSON: deep": {"tried": 3, "held": 2}}, "failed": ["JSON: deep: status 500"], "ordinary_answers": 7,
        "slowest_ordinary_seconds": 0.5, "idle_mib": 100, "peak_above_idle_mib": 20,
    }  # fmt: skip
    lines = hostile_requests.table(result).splitlines()
    assert lines[1].split() == ["JSON:", "deep", "3", "2"] and lines[-2:] == ["failed: 1", "JSON: deep: status 500"]


@pytest.mark.slow
def test_every_attack_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile_attacks, "MIB", 2**16)  # a sixteenth of the sizes
    result = hostile_requests.attack_server(0.0, seed=0)
    assert result["failed"] == [] and result["tried"] == len(ATTACKS)


@pytest.mark.slow
def test_the_memory_of_large_photos_is_given_back() -> None:
    """Two of them, 232 MiB each when decoded."""
    large = photo(picture("PNG", 9_000))
    with hostile_requests.serving() as server:
        assert server.post(photo(picture("PNG"))) == "answered"
        before = server.memory()
        assert [server.post(large) for _ in range(2)] == ["answered", "answered"]
        assert server.memory() - before < 100  # MiB
