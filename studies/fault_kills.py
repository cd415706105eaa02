"""Kill and stop trainings again and again, and compare their ends: used by `faults.py`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "studies")]

import replicas  # noqa: E402

from tf_spot.runs.run import STAGES  # noqa: E402

STEPS, EVERY = 24, 3  # of each stage; between two checkpoints
SETTINGS = {
    "data.image_size": 16, "network.width": 0.125, "network.fc_units": 16, "game.history_batches": 2,
    "training.batch_size": 8, "training.autoencoder_steps": STEPS, "training.spotter_steps": STEPS,
    "training.checkpoint_steps": EVERY, "training.steps_per_epoch": 8, "training.probe_epochs": 3,
}  # fmt: skip
AT_ONCE = 2  # processes, as many as cores
PATIENCE = 900.0  # seconds; a process that takes longer hangs
KILLS_OF_A_CHAIN = 5


def sets(settings: Mapping[str, object]) -> list[str]:
    """Return settings as options of a command."""
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


def train(photos: Path, run: Path) -> list[str]:
    """Return the command that trains, or goes on."""
    options = ["--preset", "tiny", "--resume", *sets(SETTINGS)]
    return ["train", "--data", f"folder:{photos}", "--out", str(run), *options]


def started(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    with log.open("ab") as stream:
        command = [sys.executable, "-m", "tf_spot", *words]
        return subprocess.Popen(command, stderr=stream, stdout=subprocess.DEVNULL, env=environment)


def kills(photos: Path, home: Path, count: int, chance: random.Random) -> dict[str, Any]:
    """Kill trainings `count` times in chains; the end of each chain must be that of an unbroken training.

    Returns:
        chains tried, held and failed, and `kills`.
    """
    unbroken = home / "unbroken"
    if started(train(photos, unbroken), home / "unbroken.txt").wait(PATIENCE) != 0:
        raise RuntimeError((home / "unbroken.txt").read_text())
    chains = [min(KILLS_OF_A_CHAIN, count - first) for first in range(0, count, KILLS_OF_A_CHAIN)]
    seeds = [chance.randrange(10**9) for _ in chains]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(
            pool.map(lambda n: chain(photos, home / f"chain-{n}", chains[n], seeds[n], unbroken), range(len(chains)))
        )
    failed = [text for text in found if text is not None]
    return {"tried": len(chains), "held": len(chains) - len(failed), "failed": failed, "kills": sum(chains)}


def chain(photos: Path, run: Path, count: int, seed: int, unbroken: Path) -> str | None:
    """Kill one training `count` times and finish it; return how its end differs from the unbroken one, if it does."""
    chance, log = random.Random(seed), run.with_suffix(".txt")
    # Later and later, so that a chain ends; some before the first checkpoint, some while one is written.
    moments = sorted(chance.randrange(2 * STEPS) for _ in range(count))
    for moment in moments:
        process = started(train(photos, run), log)
        end = time.monotonic() + PATIENCE
        while steps(run) < moment and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(chance.random() * (0.3 if moment >= EVERY else 8.0))
        process.kill()
        process.wait()
    code = started(train(photos, run), log).wait(PATIENCE)
    text = log.read_text(errors="replace")
    if code != 0 or "Traceback" in text:
        return f"{run.name}: exit code {code}: {text.strip().splitlines()[-1:]}"
    differing = [stage for stage in STAGES if not same(replicas.arrays(run, stage), replicas.arrays(unbroken, stage))]
    lists = [(folder / "bad_files.txt").read_text() for folder in (run, unbroken)]
    return f"{run.name}: {differing or 'bad_files.txt'} differ" if differing or lists[0] != lists[1] else None


def steps(run: Path) -> int:
    """Return the steps of both stages up to the newest checkpoint."""
    newest = [max((int(p.name[5:]) for p in run.glob(f"checkpoints/{stage}/step-*")), default=0) for stage in STAGES]
    return newest[1] + STEPS if newest[1] else newest[0]


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """True if all arrays are equal in every bit."""
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def signals(photos: Path, home: Path, count: int, chance: random.Random) -> dict[str, Any]:
    """Stop trainings by a signal at a random moment: one line, the code of the signal, and the work as it was said."""
    failed = []
    for number in range(count):
        run, log = home / f"signal-{number}", home / f"signal-{number}.txt"
        sent = chance.choice([signal.SIGINT, signal.SIGTERM])
        process = started(train(photos, run), log)
        end = time.monotonic() + PATIENCE
        wanted = chance.choice([-1, 0, EVERY, STEPS + EVERY])  # before the run folder, before and after a checkpoint
        while not reached(run, wanted, log) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(chance.random())
        process.send_signal(sent)
        code, text = process.wait(PATIENCE), log.read_text(errors="replace")
        lines = [line for line in text.splitlines() if line.startswith("tf-spot: ")]
        saved = "the work is saved" in text
        if code not in (128 + sent, 0) or "Traceback" in text or (code and len(lines) != 1):
            failed.append(f"{sent.name} at {wanted}: exit code {code}: {text.strip().splitlines()[-1:]}")
        elif saved and not steps(run):
            failed.append(f"{sent.name} at {wanted}: says that the work is saved, and there is no checkpoint")
    return {"tried": count, "held": count - len(failed), "failed": failed}


def reached(run: Path, wanted: int, log: Path) -> bool:
    """True once a training has done that many steps; -1: has announced its plan, 0: has begun its run folder."""
    if wanted < 0:
        return b"autoencoder steps" in log.read_bytes()
    return (run / "config.json").is_file() if wanted == 0 else steps(run) >= wanted
