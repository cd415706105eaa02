"""End this process when a call hangs that holds Python's lock, so that neither a thread nor a signal handler runs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# A process that kills its parent after a time: argv is the parent's id, the seconds and the message.
_WATCH = """
import os, signal, sys, time
parent, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
while os.getppid() == parent:
    if time.monotonic() > end:
        sys.stderr.write(sys.argv[3])
        sys.stderr.flush()
        os.kill(parent, signal.SIGKILL)
        break
    time.sleep(0.2)
"""


@contextlib.contextmanager
def killed_after(seconds: float, message: str) -> Iterator[None]:
    """Kill this process, after `message` on stderr, if the block takes longer than `seconds`."""
    # -I -S: without site packages the watching process starts in milliseconds.
    command = [sys.executable, "-I", "-S", "-c", _WATCH, str(os.getpid()), str(seconds), message]
    watch = subprocess.Popen(command)
    try:
        yield
    finally:
        watch.kill()
        watch.wait()
