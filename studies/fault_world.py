"""What the faults of `faults.py` happen to: photos, a trained run with what was made of it, commands that write."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "studies")]

import fault_kills  # noqa: E402
from fault_verbs import Verbs  # noqa: E402

from tf_spot.storage.names import printable  # noqa: E402

STEPS = {f"training.{name}_steps": 2 for name in ("autoencoder", "spotter", "checkpoint")}
SHORT = fault_kills.sets(fault_kills.SETTINGS | STEPS)  # options of a training of seconds
Row = dict[str, Any]


class World(NamedTuple):
    """What the faults happen to."""

    home: Path
    photos: Path  # two classes, a fifth of the files bad
    run: Path  # trained and evaluated
    verbs: Verbs
    chance: random.Random

    @property
    def spec(self) -> str:
        return f"folder:{self.photos}"


class Tally:
    """Count tries."""

    def __init__(self) -> None:
        self.tried, self.failed = 0, list[str]()

    def add(self, name: str, wrong: str | None) -> None:
        """Count a try; `wrong` says what was not held."""
        self.tried += 1
        if wrong is not None:
            self.failed.append(printable(f"{name}: {wrong}"))

    def row(self, **more: object) -> Row:
        return {"tried": self.tried, "held": self.tried - len(self.failed), "failed": self.failed} | more


def make_photos(folder: Path) -> Path:
    """Write 60 photos to train on and 16 to test on, in two classes; every fifth cannot be read."""
    noise = np.random.default_rng(0)
    for split, count in (("train", 30), ("test", 8)):
        for name, level in (("dark", 60), ("light", 190)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                photo = np.clip(noise.normal(level, 40, (24, 28, 3)), 0, 255).astype(np.uint8)
                file = folder / split / name / f"{number:02}.{'jpg' if number % 2 else 'png'}"
                Image.fromarray(photo).save(file)
                if number % 5 == 3:
                    file.write_bytes(file.read_bytes()[: noise.integers(0, 60)])
    return folder


def make_world(home: Path, chance: random.Random) -> World:
    """Train and evaluate a run.

    Raises:
        RuntimeError: that failed, without any fault.
    """
    world = World(home, make_photos(home / "photos"), home / "run", Verbs(home / "log.txt"), chance)
    for words in (
        [*fault_kills.train(world.photos, world.run)],
        ["evaluate", world.run, "--data", world.spec, "--task", "knn", "--num-values", "40"],
        ["export", world.run, "--format", "saved_model", "--out", home / "export"],
        ["pack", "--data", world.spec, "--out", home / "pack"],
        ["compare", "--data", world.spec, "--out", home / "table", "--methods", "random", "--preset", "tiny", *SHORT],
    ):
        outcome = world.verbs(words)
        if outcome.code != 0:
            raise RuntimeError(outcome.stderr)
    return world


def writing(world: World, out: Path) -> dict[str, list[object]]:
    """Return a command of each verb that writes, into `out`, where a copy of the run lies."""
    train = ["--data", world.spec, "--preset", "tiny", *SHORT, "--out"]
    photo = world.photos / "test" / "dark" / "00.png"
    return {
        "train": ["train", *train, out / "new"],
        "evaluate": ["evaluate", out / "run", "--data", world.spec, "--task", "knn", "--num-values", "40"],
        "report": ["report", out / "run"],
        "spot": ["spot", world.run, photo, "--out", out / "spot"],
        "neighbours": ["neighbours", world.run, "--data", world.spec, "--query", photo, "--out", out / "near"],
        "embed": ["embed", world.run, "--data", world.spec, "--out", out / "rows.npz"],
        "pack": ["pack", "--data", world.spec, "--out", out / "pack"],
        "export": ["export", world.run, "--format", "saved_model", "--out", out / "export"],
        "ablate": ["ablate", "--rows", "baseline", "--num-values", "40", *train, out / "ablation"],
        "compare": ["compare", "--methods", "random,spot", "--num-values", "40", *train, out / "table"],
        "tune": ["tune", "--trials", "1", "--num-values", "40", *train, out / "search"],
    }  # fmt: skip
