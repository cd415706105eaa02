"""What the processor is said to have."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tf_spot.ops import cpu_features


@pytest.mark.parametrize(
    ("flags", "narrow"),
    [({"avx2"}, True), ({"avx2", "avx512f"}, False), (set(), False)],
)
def test_narrow_vectors_are_avx2_without_avx512(flags: set[str], narrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_features, "processor_flags", lambda: frozenset(flags))
    assert cpu_features.narrow_vectors() is narrow


def test_on_cpu_follows_the_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpus in ([], ["a GPU"]):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind, gpus=gpus: gpus)
        assert cpu_features.on_cpu() == (not gpus)


def test_flags_are_words_of_proc_cpuinfo() -> None:
    assert all(flag.isidentifier() or flag[0].isdigit() for flag in cpu_features.processor_flags())
