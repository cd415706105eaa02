"""A competitor that cannot wait for its turns: python benchmarks/anew.py COMMAND ...

The command is run anew every turn, and prints images a second itself, as the last line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys


def main() -> None:
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(sys.argv[1:])} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        print(json.dumps(json.loads(done.stdout.splitlines()[-1])), flush=True)


if __name__ == "__main__":
    main()
