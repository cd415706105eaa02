"""A contestant's side of benchmarks/inference.py: answers on two cores whenever it is its turn.

Needs NumPy alone, so that contestants of any Python can use it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

CORES = 2


def on_two_cores() -> None:
    """Before any library has counted the cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def take_turns(model: Callable[[np.ndarray], Any], photos: np.ndarray) -> None:
    """Says it is ready; then for every line `BATCH SECONDS` calls the model for so long and prints images a second.

    Args:
        model: float32 (batch, size, size, 3) in [0, 255] to NumPy arrays.
        photos: uint8 (n, size, size, 3), repeated to fill a batch.
    """
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        batch, seconds = int(line.split()[0]), float(line.split()[1])
        images = photos[np.arange(batch) % len(photos)].astype(np.float32)
        model(images)  # what is done once for a batch size, and caches that another contestant has filled
        calls, started = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - started < seconds:
            model(images)
            calls += 1
        rate = batch * calls / (time.perf_counter() - started)
        print(json.dumps({"images_per_second": round(rate, 3), "calls": calls}), flush=True)
