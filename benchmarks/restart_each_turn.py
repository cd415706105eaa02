"""Wrap a contestant that cannot wait for its turns: python benchmarks/restart_each_turn.py COMMAND ...

The command is started again for every turn. It prints `{"images_per_second": ...}` itself, as its last line.
"""

from __future__ import annotations

import json
import sys

from take_turns import child


def main() -> None:
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(child(sys.argv[1:])), flush=True)


if __name__ == "__main__":
    main()
