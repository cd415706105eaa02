"""Run many `tf-spot` commands in one process that has TensorFlow loaded, watched from outside: used by `faults.py`.

    python studies/fault_verbs.py    a command per line on stdin, as a JSON list; an outcome per line on stdout

A command that hangs or kills the process is an outcome too: the process is started anew.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LEFTOVERS = (".writing-", ".aside-", ".lock")  # beginnings of names that nothing finished may leave
# Anything else that a command writes to stderr before the line that tells its end is progress or a warning.
TELLS = "tf-spot: "


class Outcome(NamedTuple):
    """How a command ended."""

    code: int | None  # None: it hung and was killed
    stderr: str

    def wrong(self, *codes: int) -> str | None:
        """Return what is wrong with the end of a command that should have ended with one of `codes`."""
        last = next(iter(self.stderr.strip().splitlines()[-1:]), "")
        if self.code is None:
            return "hung"
        if "Traceback" in self.stderr:
            return f"a trace: {last}"
        if self.code not in codes:
            return f"exit code {self.code}: {last}"
        if self.code == 2 and not (last.startswith(TELLS) and last.isprintable()):
            return f"no line that tells: {last}"
        return None


class Verbs:
    """A process that runs commands one after the other.

    Args:
        log: file that receives what the commands write to stderr.
    """

    def __init__(self, log: Path) -> None:
        self.log, self._process = log, None

    def __call__(self, words: Sequence[object], seconds: float = 300.0) -> Outcome:
        """Run a command, for `seconds` at most."""
        process = self._started()
        self.log.write_text("")
        assert process.stdin and process.stdout  # noqa: S101
        process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        line = process.stdout.readline() if ready else ""
        code = json.loads(line)["code"] if line else (None if not ready else -1)
        if not line:
            self.close()
        return Outcome(code, self.log.read_text(encoding="utf-8", errors="replace"))

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [sys.executable, __file__, str(self.log)]
            environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
        return self._process

    def peak_bytes(self) -> int:
        """Return the most memory that the process has had so far."""
        status = Path(f"/proc/{self._started().pid}/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def leftovers(*folders: Path) -> list[str]:
    """Return the names of half-written files below some folders."""
    found = [path for folder in folders if folder.is_dir() for path in folder.rglob(".*")]
    return [path.name for path in found if path.name.startswith(LEFTOVERS)]


def main() -> None:
    """Run commands; their stdout goes nowhere, their stderr to the file that the first argument names."""
    sys.path.insert(0, str(ROOT))
    outcomes = os.fdopen(os.dup(1), "w")
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from tf_spot.cli import main as tf_spot

    for line in sys.stdin:
        os.ftruncate(log, 0)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                code = tf_spot(json.loads(line))
            except SystemExit as stop:
                code = stop.code
            os.chdir("/")
        sys.stderr.flush()
        print(json.dumps({"code": code}), file=outcomes, flush=True)


if __name__ == "__main__":
    main()
