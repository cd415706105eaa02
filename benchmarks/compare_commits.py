"""Time the steps of this tree beside those of another commit: python benchmarks/compare_commits.py REV [--only STAGE]

Committed ratios come from one processor and do not hold on another, even of the same kind. Two commits that take turns
on one machine can be compared. The other commit is checked out into a temporary folder and runs with this Python.

Writes results/benchmarks/commits/REV-KIND.json with KIND as in run.py, and fails where a step of this tree runs at less
than 0.95 of the other's rate. Takes about six minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from run import BATCH, RESULTS, kind, median, precisions, ratio  # noqa: E402
from take_turns import CORES, on_two_cores, started, take_turns  # noqa: E402

from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

# Stage: (rounds, seconds of a turn).
STAGES = {"spotter": (9, 3.0), "autoencoder": (15, 1.5), "backbone": (15, 1.5)}
SCRIPTS = ("training_step.py", "step.py")  # now, and before the files had names that explain themselves
TOLERATED = 0.95  # smallest share of the other commit's rate that passes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", metavar="REV", help="the other commit")
    parser.add_argument("--only", choices=tuple(STAGES), action="append", help="time this stage only; may be repeated")
    options = parser.parse_args()
    on_two_cores()
    origin = provenance("benchmarks/compare_commits.py")
    with checked_out(options.revision) as (commit, tree):
        result = {stage: compare(stage, tree) for stage in options.only or STAGES}
    ratios = {f"{stage}, {name}": value for stage, one in result.items() for name, value in one["ratios"].items()}
    table = {"task": "speed", "part": "commits", "cores": CORES, "before": commit, "ratios": ratios, "stages": result}
    target = RESULTS / "commits" / f"{commit[:7]}-{kind()}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, table | origin)
    print("\n".join(f"{name}: {value:.3f} of the rate of {commit[:7]}" for name, value in ratios.items()), flush=True)
    sys.exit("\n".join(slower(ratios)) or 0)


@contextlib.contextmanager
def checked_out(revision: str) -> Iterator[tuple[str, Path]]:
    """Check a commit out into a temporary folder; yield its full name and the folder."""
    named = subprocess.run(
        ["git", "rev-parse", "--verify", f"{revision}^{{commit}}"], cwd=ROOT, capture_output=True, text=True
    )
    if named.returncode:
        sys.exit(f"REV must be a commit of this repository; received: {revision}")
    commit = named.stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tree), commit], cwd=ROOT, check=True)
        try:
            yield commit, tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)


def compare(stage: str, tree: Path) -> dict[str, Any]:
    """Let the step of this tree and that of another take turns, in each precision.

    Args:
        stage: one of `STAGES`.
        tree: root of the other commit.

    Returns:
        "images_per_second" (medians), "ratios" by precision (this tree's rate over the other's, the median of those
        within a round), and the rates of every round.
    """
    commands = {}
    for precision, chosen in precisions().items():
        for name, root in (("now", ROOT), ("before", tree)):
            command = [sys.executable, str(step_script(root)), "--stage", stage, "--turns", *chosen]
            commands[f"{name}, {precision}"] = command
    rounds, seconds = STAGES[stage]
    with started(commands) as contestants:
        taken = take_turns(contestants, rounds, seconds, [BATCH])
    runs = {name: by_batch[str(BATCH)] for name, by_batch in taken.items()}
    ratios = {precision: ratio(runs[f"now, {precision}"], runs[f"before, {precision}"]) for precision in precisions()}
    rates = {name: median(values) for name, values in runs.items()}
    return {"images_per_second": rates, "ratios": ratios, "runs": runs}


def step_script(root: Path) -> Path:
    """Return the script of a tree that times a step."""
    for name in SCRIPTS:
        if (root / "benchmarks" / name).is_file():
            return root / "benchmarks" / name
    sys.exit(f"this commit has no script that times a step; needed: benchmarks/{' or benchmarks/'.join(SCRIPTS)}")


def slower(ratios: dict[str, float]) -> list[str]:
    """Return a line for every step that is slower than the other commit's by more than what is tolerated."""
    return [f"{name}: slower, {value:.3f} of before" for name, value in ratios.items() if value < TOLERATED]


if __name__ == "__main__":
    main()
