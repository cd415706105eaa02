"""A process that hangs is ended with its message; one that does not is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HANGS = """
import sys, time
from tf_spot.distributed.watchdog import killed_after
with killed_after(float(sys.argv[1]), "another worker stopped\\n"):
    time.sleep(float(sys.argv[2]))
print("done")
"""


def run(limit: float, seconds: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HANGS, str(limit), str(seconds)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_block_that_hangs_is_killed_with_the_message() -> None:
    done = run(limit=0.3, seconds=100)
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == "another worker stopped\n" and done.stdout == ""


def test_a_block_that_ends_in_time_is_left_alone() -> None:
    """The watching process is gone too: it would hold stderr open, and `run` waits for its end."""
    done = run(limit=100, seconds=0)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
