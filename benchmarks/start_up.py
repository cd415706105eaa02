"""Time the start-up: python benchmarks/start_up.py

Measures the seconds until `tf-spot --help` ends (median of five), and until `tf-spot train` has made its first update
on the bundled photos: with preset `small`, which is for two cores, and with `stl10`, whose first update has 256 photos
at 96 pixels. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Stops at the first report of progress: only the first update is timed.
TRAIN = """
import sys, time
from tf_spot.config import preset
from tf_spot.training.train import train
def done(*_):
    print(time.time())
    raise KeyboardInterrupt
try:
    train(preset(sys.argv[1]).override(sys.argv[3:]), "photos", sys.argv[2], on_progress=done)
except KeyboardInterrupt:
    pass
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", action="append", default=[], help="FIELD=VALUE of the configuration")
    options = parser.parse_args()
    first = {f"first_step_seconds_{preset}": first_step_seconds(preset, options.set) for preset in ("small", "stl10")}
    print(json.dumps({"help_seconds": help_seconds(5)} | first))


def help_seconds(times: int) -> float:
    """Return the median wall time of `tf-spot --help`."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "tf_spot", "--help"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - started)
    return round(statistics.median(seconds), 3)


def first_step_seconds(preset: str, changes: list[str]) -> float:
    """Return the wall time from the launch of a process to its first update."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.time()
        command = [sys.executable, "-c", TRAIN, preset, str(Path(folder) / "run"), *changes]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return round(float(done.stdout.split()[-1]) - started, 2)


if __name__ == "__main__":
    main()
