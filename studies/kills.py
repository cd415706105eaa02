"""Kill one of two workers again and again, and compare the end of the training with that of an unbroken one.

    python studies/kills.py [--kills 10] [--seed 0]

Trains tiny networks through both stages with two worker processes on this machine. At a random moment a random worker
gets SIGKILL; the other must stop by itself; both are started again with --resume. Then every array of both stages' last
checkpoints (networks, optimizers, history buffer) is compared, bit for bit, with that of an unbroken training, and the
recorded metrics as numbers: the mean over an epoch that was interrupted is summed in other pieces. Writes
results/kills.json.

Moments, in each half of the kills: between the workers' meeting and their first common operation, at a random second of
the start, after a random step, while a checkpoint is written.
"""

from __future__ import annotations

import argparse
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "studies")]

import replicas  # noqa: E402

from tf_spot.runs.run import STAGES, Run  # noqa: E402
from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

STEPS = 40  # of each stage
SETTINGS = (
    *replicas.SETTINGS, f"training.autoencoder_steps={STEPS}", f"training.spotter_steps={STEPS}",
    "training.steps_per_epoch=10", "training.checkpoint_steps=4",
)  # fmt: skip
KINDS = ("start", "step", "writing", "met", "step")
WAIT = 60  # seconds that a worker waits at the start for one that was killed before the meeting
PATIENCE = 400  # seconds; a process that takes longer hangs
MET = "met"  # printed by a worker when it has met the others
TIMES = ("seconds", "images_per_second", "probe_seconds")  # of a line of metrics


class Moment(NamedTuple):
    """When a kill happens."""

    kind: str  # of `KINDS`
    stage: str
    step: int  # of the stage, which the killed worker has done at least; not used for `start`
    delay: float  # before the kill, in [0, 1): share of the start, of half a second or of a tenth, by `kind`
    worker: int


class Workers:
    """Two processes of one training, and the file that each writes its messages to."""

    def __init__(self, photos: Path, run: Path, logs: Path) -> None:
        logs.mkdir()
        self.files = [logs / f"{index}.txt" for index in (0, 1)]
        settings = [word for change in SETTINGS for word in ("--set", change)]
        command = [sys.executable, __file__, "--worker", "train", "--data", f"folder:{photos}", "--out", str(run)]
        command += ["--preset", "tiny", *settings, "--strategy", "multiworker", "--resume", "--wait", str(WAIT)]
        cluster = replicas.free_addresses(2)
        self.began = time.monotonic()
        self.processes = []
        for index, file in enumerate(self.files):
            with file.open("w") as stream:
                environment = replicas.environment(cluster, index)
                self.processes.append(
                    subprocess.Popen(command, env=environment, stderr=stream, stdout=subprocess.DEVNULL)
                )

    def lines(self, index: int, beginning: str) -> list[str]:
        return [line for line in self.files[index].read_text().splitlines() if line.startswith(beginning)]

    def step(self, index: int, stage: str) -> int:
        """Return the last step of a stage that a worker has reported; 0 before the first."""
        lines = self.lines(index, f"{stage} (")
        return int(lines[-1].rpartition(": ")[2].split("/")[0]) if lines else 0

    def wait_until(self, there: Callable[[], bool]) -> None:
        """Wait until `there` is true.

        Raises:
            RuntimeError: a worker ended before, or it takes too long.
        """
        deadline = time.monotonic() + PATIENCE
        while not there():
            if any(process.poll() is not None for process in self.processes) or time.monotonic() > deadline:
                raise RuntimeError("\n".join(file.read_text() for file in self.files))
            time.sleep(0.002)

    def end(self, index: int) -> int | None:
        """Return the exit code of a worker; None if it does not end, and kill it then."""
        try:
            return self.processes[index].wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.processes[index].kill()
            self.processes[index].wait()
            return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        photos = replicas.make_photos(home / "photos")
        start = finish(Workers(photos, home / "unbroken", home / "logs"))
        rows = []
        for number, moment in enumerate(moments(options.kills, options.seed)):
            workers = Workers(photos, home / "run", home / f"logs-{number}")
            rows.append(kill(workers, moment, home / "run", start))
            print(rows[-1], flush=True)
        finish(Workers(photos, home / "run", home / "logs-end"))
        differing = differences(home / "run", home / "unbroken")
        metrics = metrics_difference(home / "run", home / "unbroken")
    record(options, rows, differing, metrics)
    print("all arrays are equal" if not differing else differing, f"metrics differ by {metrics:.1e} at most")


def moments(count: int, seed: int) -> list[Moment]:
    """Draw the moments: the first half of the kills in stage 1, the rest in stage 2, in the order of steps."""
    numbers = random.Random(seed)
    found = []
    for stage, kills in zip(STAGES, (count - count // 2, count // 2), strict=True):
        kinds = [KINDS[i % len(KINDS)] for i in range(kills)]
        numbers.shuffle(kinds)
        steps = sorted(numbers.sample(range(1, STEPS - 4), kills))
        found += [
            Moment(k, stage, s, numbers.random(), numbers.randrange(2)) for k, s in zip(kinds, steps, strict=True)
        ]
    return found


def finish(workers: Workers) -> float:
    """Wait for the workers, which must succeed; return the seconds from the start to the first step."""
    workers.wait_until(lambda: any(workers.step(0, stage) for stage in STAGES))
    start = time.monotonic() - workers.began
    if [workers.end(index) for index in (0, 1)] != [0, 0]:
        raise RuntimeError("\n".join(file.read_text() for file in workers.files))
    return start


def kill(workers: Workers, moment: Moment, run: Path, start: float) -> dict[str, Any]:
    """Wait for the moment, kill, and return a row about the other worker's end."""
    killed, other, folder = moment.worker, 1 - moment.worker, run / "checkpoints" / moment.stage
    if moment.kind == "start":
        time.sleep(moment.delay * start)
    elif moment.kind == "met":
        workers.wait_until(lambda: bool(workers.lines(killed, MET)))
    else:
        workers.wait_until(lambda: workers.step(killed, moment.stage) >= moment.step)
    if moment.kind == "step":
        time.sleep(moment.delay / 2)
    if moment.kind == "writing":
        workers.wait_until(lambda: any(folder.glob(".aside-[0-9]*")))
        time.sleep(moment.delay / 10)
    writing = any(folder.glob(".aside-[0-9]*"))
    workers.processes[killed].kill()
    began = time.monotonic()
    workers.processes[killed].wait()
    code = workers.end(other)
    stage, step = next(((s, workers.step(killed, s)) for s in reversed(STAGES) if workers.step(killed, s)), ("", 0))
    return {
        "moment": moment.kind,
        "seconds_after_start": round(began - workers.began, 1),
        "worker": killed,
        "stage": stage or "before the first step",
        "step": step,
        "while_writing": writing,
        "steps_lost": step - newest(run, stage) if stage else 0,
        "seconds_to_stop": None if code is None else round(time.monotonic() - began, 1),
        "exit_code": code,
        "says": workers.lines(other, "tf-spot: "),
        "traceback": bool(workers.lines(other, "Traceback")),
    }


def newest(run: Path, stage: str) -> int:
    """Return the step from which a stage resumes."""
    return max((int(path.name.removeprefix("step-")) for path in run.glob(f"checkpoints/{stage}/step-*")), default=0)


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of arrays that differ in any bit; empty when nothing was lost."""
    found = []
    for stage in STAGES:
        ours, theirs = (replicas.arrays(run, stage) for run in (one, other))
        names = ours.keys() | theirs.keys()
        found += [name for name in sorted(names) if not same_bytes(ours.get(name), theirs.get(name))]
    return found


def metrics_difference(one: Path, other: Path) -> float:
    """Return the largest relative difference of numbers of the same line and name; infinite where one is missing."""
    ours, theirs = (
        [(i, k, v) for i, line in enumerate(Run(run).metrics()) for k, v in sorted(line.items()) if k not in TIMES]
        for run in (one, other)
    )
    if [row[:2] for row in ours] != [row[:2] for row in theirs]:
        return math.inf
    return max(relative_difference(a[2], b[2]) for a, b in zip(ours, theirs, strict=True))


def relative_difference(one: object, other: object) -> float:
    """Return 0 for two that are equal, text or numbers; infinity for different texts."""
    if one == other:
        return 0.0
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return math.inf
    return abs(one - other) / max(abs(one), abs(other))


def same_bytes(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """True if both are there, of one shape and of the same bytes."""
    return one is not None and other is not None and one.shape == other.shape and one.tobytes() == other.tobytes()


def table(result: dict[str, Any]) -> str:
    """Return one line per kill."""
    lines = ["moment    worker  stage                   step  steps lost  others stopped after  exit code"]
    for row in result["rows"]:
        stopped = "never" if row["seconds_to_stop"] is None else f"{row['seconds_to_stop']:.1f} s"
        lines.append(
            f"{row['moment']:<9} {row['worker']:6}  {row['stage']:<22} {row['step']:5} {row['steps_lost']:11} "
            f"{stopped:>21} {row['exit_code']!s:>10}"
        )
    same = "all equal" if result["equal"] else f"{len(result['differing'])} differ"
    apart = result["metrics_largest_relative_difference"]
    return "\n".join([*lines, f"arrays at the end: {same}; recorded metrics: {apart:.0e} apart at most (relative)"])


def record(options: argparse.Namespace, rows: list[dict[str, Any]], differing: list[str], metrics: float) -> None:
    stops = [row["seconds_to_stop"] for row in rows if row["stage"] != "before the first step"]
    head = {"task": "kills", "kills": options.kills, "seed": options.seed, "settings": list(SETTINGS), "wait": WAIT}
    says = {
        "equal": not differing,
        "differing": differing,
        "metrics_largest_relative_difference": metrics,
        "most_seconds_to_stop_in_training": None if None in stops else max(stops, default=0.0),
        "most_steps_lost": max(row["steps_lost"] for row in rows),
        "rows": rows,
    }
    command = f"python studies/kills.py --kills {options.kills} --seed {options.seed}"
    write_json(ROOT / "results" / "kills.json", head | says | provenance(command))


def worker(words: list[str]) -> int:
    """Run `tf-spot`, which prints that the workers have met and every step."""
    from tf_spot import cli, progress
    from tf_spot.distributed import rendezvous as cluster
    from tf_spot.distributed import strategies

    def meet(*args: Any) -> None:
        cluster.meet(*args)
        print(MET, file=sys.stderr, flush=True)

    strategies.meet = meet
    progress.SECONDS_BETWEEN_LINES = 0.0
    return cli.main(words)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        sys.exit(worker(sys.argv[2:]))
    main()
