"""What the processor is said to have, and how a trial changes the form of a step."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.models.test_spotter import BATCH, pictures, with_sgd
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.ops import hardware


@pytest.mark.parametrize(
    ("flags", "narrow"),
    [({"avx2"}, True), ({"avx2", "avx512f"}, False), (set(), False)],
)
def test_narrow_vectors_are_avx2_without_avx512(flags: set[str], narrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "processor_flags", lambda: frozenset(flags))
    assert hardware.narrow_vectors() is narrow


def test_on_cpu_follows_the_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpus in ([], ["a GPU"]):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind, gpus=gpus: gpus)
        assert hardware.on_cpu() == (not gpus)


def test_a_trial_changes_the_form_inside_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu, usual in ((True, hardware.CPU), (False, hardware.GPU)):
        monkeypatch.setattr(hardware, "on_cpu", lambda cpu=cpu: cpu)
        with hardware.trial(mask_apart=not usual.mask_apart), hardware.trial(jit_compile=True):
            inside = hardware.form()
            assert (inside.mask_apart, inside.jit_compile) == (not usual.mask_apart, True)
            assert inside.own_gradients == usual.own_gradients
        assert hardware.form() == usual


def after_two_steps(**changes: bool) -> tuple[ArtifactSpotter, dict[str, tf.Tensor]]:
    spotter = with_sgd(history_batches=2, batch_size=BATCH, trunk_norm="response")
    with hardware.trial(**changes):
        step = tf.function(spotter.train_step, jit_compile=changes.get("jit_compile", False))
        for seed in range(2):
            logs = step(tf.constant(pictures(seed=seed)))
    return spotter, logs


@pytest.fixture(scope="module")
def usual() -> tuple[ArtifactSpotter, dict[str, tf.Tensor]]:
    return after_two_steps()


@pytest.mark.parametrize(
    "changes",
    [{"own_gradients": False}, {"kernel_before_upsampling": False}, {"mask_apart": not hardware.CPU.mask_apart},
     {"stem_of_blocks": True, "shifted_maps": True},
     pytest.param({"jit_compile": True, "groups_at_once": True}, marks=pytest.mark.slow)],
    ids=lambda changes: "-".join(changes),
)  # fmt: skip
def test_every_form_of_a_step_ends_with_the_same_weights(
    changes: dict[str, bool], usual: tuple[ArtifactSpotter, dict[str, tf.Tensor]]
) -> None:
    """The same sums in another order: float32 rounding, through a dozen layers and a rate of 0.05.

    Weights are below 1; moving variances are up to 60, and as exact relative to that.
    """
    (one, one_logs), (other, logs) = usual, after_two_steps(**changes)
    for name, value in one_logs.items():
        assert float(logs[name]) == pytest.approx(float(value), rel=1e-4), name
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), atol=1e-4, rtol=1e-5, err_msg=a.path)


def test_flags_are_words_of_proc_cpuinfo() -> None:
    assert all(flag.isidentifier() or flag[0].isdigit() for flag in hardware.processor_flags())
