"""How much memory is free: of the machine, and of a container in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tf_spot.data import free_memory
from tf_spot.data.free_memory import free_host_bytes, most_bytes


@pytest.mark.parametrize(
    ("limit", "used", "free"),
    [(None, None, 2048 * 1024), ("max", "0", 2048 * 1024), ("1000", "400", 600), ("1000", "1200", 0)],
)
def test_the_smaller_of_what_the_machine_and_the_container_have_is_free(
    tmp_path: Path, limit: str | None, used: str | None, free: int
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  4096 kB\nMemAvailable:   2048 kB\n")
    for name, text in (("max", limit), ("current", used)):
        if text is not None:
            (tmp_path / name).write_text(f"{text}\n")
    assert free_host_bytes(tmp_path / "meminfo", ((str(tmp_path / "max"), str(tmp_path / "current")),)) == free


@pytest.mark.parametrize(("free", "most"), [(1000, 250), (2**34, 2**33 - 2**31)])
def test_half_of_the_free_memory_may_be_taken_the_copy_included(
    monkeypatch: pytest.MonkeyPatch, free: int, most: int
) -> None:
    monkeypatch.setattr(free_memory, "free_host_bytes", lambda: free)
    assert most_bytes("host") == most
    assert most_bytes("device") == most, "without a GPU the device's memory is the host's"


def test_a_quarter_of_a_gpu_may_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory.tf.config, "list_logical_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(free_memory, "gpu_bytes", lambda: 1000)
    assert most_bytes("device") == 250
