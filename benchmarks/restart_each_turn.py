"""A competitor that cannot wait for its turns: python benchmarks/restart_each_turn.py COMMAND ...

The command is run anew every turn, and prints images a second itself, as the last line of JSON.
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
