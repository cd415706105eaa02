"""Killed at any moment and resumed, a run ends with the weights of one that was never stopped, bit for bit."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tf_spot.runs.run import Run

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


def train(*words, precision="float32", gpu="", linear_probe="1"):
    """Runs the tiny training to its end, or to the signal it sends itself; returns exit code, what it told, stderr.

    `gpu` is the number of the GPU that it sees, none by default.
    """
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment |= {"CUDA_VISIBLE_DEVICES": gpu, "PRECISION": precision, "LINEAR_PROBE": linear_probe}
    command = [sys.executable, str(HERE / "support" / "runner.py"), *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    return done.returncode, done.stdout.splitlines(), done.stderr


def weights(run, stage="spotter"):
    """Every array of the last checkpoint by its name in the file: networks, both optimizers, history, metrics."""
    arrays = {}
    path = sorted(run.glob(f"checkpoints/{stage}/step-*"))[-1]

    def take(name, entry):
        if isinstance(entry, h5py.Dataset):
            arrays[name] = entry[()]

    with h5py.File(path / "model.weights.h5") as file:
        file.visititems(take)
    return arrays


def losses(run):
    """metrics.jsonl without what depends on the clock."""
    clock = ("seconds", "images_per_second", "probe_seconds")
    return [{k: v for k, v in line.items() if k not in clock} for line in Run(run).metrics()]


def same_lines(lines, reference):
    """Where weights are equal to the bit, a logged mean was seen one float32 rounding off."""
    for line, expected in zip(lines, reference, strict=True):
        assert line.keys() == expected.keys()
        for name, value in expected.items():
            close = isinstance(value, float) and math.isclose(line[name], value, rel_tol=1e-6)
            assert close or line[name] == value, name


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    numbers = np.random.default_rng(0)
    for i in range(30):
        (folder / "ab"[i % 2]).mkdir(exist_ok=True)
        small = numbers.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(small).resize((24, 24)).save(folder / "ab"[i % 2] / f"{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def reference(photos, tmp_path_factory):
    """A run never interrupted."""
    run = tmp_path_factory.mktemp("reference") / "run"
    code, told, err = train(photos, run)
    assert code == 0, err
    assert told[-1] == "spotter 21"
    return run


def test_the_linear_probe_changes_no_weight(reference, photos, tmp_path):
    code, _, err = train(photos, tmp_path / "run", linear_probe="0")
    assert code == 0, err
    without, ours = weights(tmp_path / "run"), weights(reference)
    assert without.keys() == ours.keys()
    assert not [name for name in ours if without[name].tobytes() != ours[name].tobytes()]
    lines = losses(reference)
    assert [line.pop("linear_accuracy", None) is not None for line in lines if line["stage"] == "spotter"] == [
        False, True, False, True,
    ]  # fmt: skip
    same_lines(losses(tmp_path / "run"), lines)


def test_a_checkpoint_holds_the_history_and_both_optimizers(reference):
    arrays = weights(reference)
    history = [a for name, a in arrays.items() if a.shape == (2, 4, 16, 16, 3)]
    assert len(history) == 1 and np.abs(history[0]).max() > 0
    counts = [name for name, a in arrays.items() if a.shape == () and a == 21 and name.endswith("vars/0")]
    assert len([name for name in counts if "optimizer" in name]) == 2
    for name in counts:
        moments = [a for n, a in arrays.items() if n.startswith(name.removesuffix("0")) and a.ndim == 4]
        assert moments and all(np.abs(a).max() > 0 for a in moments)


def test_a_run_stopped_at_six_moments_ends_with_the_weights_of_one_never_stopped(photos, reference, tmp_path):
    """SIGKILL inside stage 1, inside an epoch of stage 2 and during the writing of a checkpoint; Ctrl-C and SIGTERM
    between two checkpoints; at last the newest checkpoint is damaged."""
    run = tmp_path / "run"
    moments = [  # checkpoints are due every 4 steps
        ("KILL", "autoencoder", 7, -signal.SIGKILL, "autoencoder 1", 4),
        ("INT", "autoencoder", 9, 130, "autoencoder 5", 9),
        ("KILL", "spotter", 10, -signal.SIGKILL, "autoencoder 10", 8),
        ("TERM", "spotter", 11, 143, "spotter 9", 11),
        ("KILL", "write", 16, -signal.SIGKILL, "spotter 12", 12),
    ]
    for name, stage, step, exit_code, first_told, newest in moments:
        code, told, err = train(photos, run, name, stage, step)
        assert (code, told[0]) == (exit_code, first_told), err
        saved = sorted(run.glob(f"checkpoints/{'spotter' if stage == 'write' else stage}/step-*"))[-1]
        assert saved.name == f"step-{newest:08d}"
        if name != "KILL":
            assert "the work is saved" in err
    assert list(run.glob("checkpoints/spotter/.aside-*")), "killed in the midst of a write"
    damage(saved / "model.weights.h5")

    code, told, err = train(photos, run)
    assert code == 0, err
    assert "damaged checkpoint passed over" in err and saved.name in err
    assert told[0] == "spotter 12", "goes on from the checkpoint of step 11"
    assert not list(run.glob("checkpoints/spotter/.aside-*"))
    ours, theirs = weights(run), weights(reference)
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()]
    same_lines(losses(run), losses(reference))


def test_bfloat16_too_goes_on_to_the_same_bits(photos, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    code, _, err = train(photos, whole, precision="mixed_bfloat16")
    assert code == 0, err
    code, _, err = train(photos, stopped, "KILL", "spotter", 10, precision="mixed_bfloat16")
    assert code == -signal.SIGKILL, err
    code, told, err = train(photos, stopped, precision="mixed_bfloat16")
    assert (code, told[0]) == (0, "spotter 9"), err
    ours, theirs = weights(stopped), weights(whole)
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()]
