"""Memory in training does not grow with the number of photos."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
TRAIN = """
import resource, sys
from tests.support.runner import CONFIG
from tf_spot.training.train import train
train(CONFIG, sys.argv[1], sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def generate(folder, count):
    """`count` JPEGs, a hundred different ones under many names: hard links cost next to nothing."""
    folder.mkdir()
    numbers = np.random.default_rng(0)
    for i in range(100):
        small = numbers.integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(small).resize((40, 40)).save(folder / f"{i:06d}.jpg")
    for i in range(100, count):
        os.link(folder / f"{i % 100:06d}.jpg", folder / f"{i:06d}.jpg")


def peak_memory(photos, run):
    """KiB at the peak of a training of both stages in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "TF_CPP_MIN_LOG_LEVEL": "3",
                                "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
    command = [sys.executable, "-c", TRAIN, f"folder:{photos}", str(run)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_hundred_times_the_photos_take_at_most_a_twentieth_more_memory(tmp_path):
    peaks = {}
    for count in (1_000, 100_000):
        generate(tmp_path / str(count), count)
        peaks[count] = peak_memory(tmp_path / str(count), tmp_path / f"run{count}")
        shutil.rmtree(tmp_path / str(count))
    print(f"peak RSS in MiB: { {count: peak // 1024 for count, peak in peaks.items()} }")
    assert peaks[100_000] < 1.05 * peaks[1_000]
