"""Run tests on request, each time in a fork: what takes longest, importing TensorFlow, is done once.

    python -P studies/forked_tests.py MODULE ...

Imports the modules, none of which may be of the code under test. Then every line of the input, a JSON object with
"tests", "report" and "seconds", runs these tests by pytest in a process of their own, which ends at that time limit;
"report" is what pytest writes of them. Answers each with a line, "ended" or "hung".
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys

import pytest


def run(tests: list[str], report: str, seconds: int) -> None:
    """Run tests and end this process, by an alarm at the time limit."""
    signal.alarm(seconds)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):  # the pipes are not the tests'
        os.dup2(nowhere, stream)
    code = pytest.main(["-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests])
    os._exit(int(code))


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print("hung" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM else "ended", flush=True)


if __name__ == "__main__":
    main()
