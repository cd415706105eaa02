"""What the parts of benchmarks/gpu.py share: contestants that compute many variants, photos, runs, and the clock."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from run import median
from take_turns import Contestant

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"

Described = dict[str, Any]
Variants = dict[str, tuple[str, Described]]  # by name: the contestant, and what it is asked to do
OURS, DETERMINISTIC, TORCH = "ours", "ours, deterministic", "torch"  # contestants
WRITE_PHOTOS = "import pathlib, sys, input_pipeline; input_pipeline.make_photos(pathlib.Path(sys.argv[1]))"


class Session:
    """What a part needs to measure.

    Attributes:
        options: of the command line.
        contestants: by name.
        end: when the part should be done, on the monotonic clock.
        folder: for photos and runs.
        known: the results of the parts before.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        contestants: dict[str, Contestant],
        end: float,
        folder: Path,
        known: dict[str, dict[str, Any]],
    ) -> None:
        self.options, self.contestants, self.end, self.folder, self.known = options, contestants, end, folder, known

    def turns(self, variants: Variants) -> dict[str, Any]:
        """Let all variants take turns, in a rotating order, after each has been prepared.

        Returns:
            "images_per_second" (medians), "runs" (of every round), "variants" (what each said of itself), "missing".
        """
        rounds, seconds = self.options.rounds, self.options.seconds
        said, missing, runs = {}, {}, {}
        for name, (contestant, described) in variants.items():
            if contestant not in self.contestants:
                continue
            left = self.end - time.monotonic() - rounds * (seconds + 0.3) * (len(said) + 1)
            reply = self.ask(contestant, described, 0.0) if left > 0 or not said else {"error": "no time was left"}
            if "error" in reply:
                missing[name] = reply["error"]
            else:
                said[name] = {key: value for key, value in reply.items() if key != "images_per_second"}
        for number in range(rounds):
            names = list(said)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                runs.setdefault(name, []).append(self.ask(*variants[name], seconds)["images_per_second"])
        rates = {name: median(values) for name, values in runs.items()}
        return {"images_per_second": rates, "runs": runs, "variants": said, "missing": missing, "rounds": rounds}

    def ask(self, contestant: str, described: Described, seconds: float) -> dict[str, Any]:
        return self.contestants[contestant].ask(json.dumps(described | {"seconds": seconds}))

    @property
    def photos(self) -> Path:
        """The folder of photos; without one, the bundled photos are written as JPEG files."""
        if self.options.photos:
            return self.options.photos
        folder = self.folder / "photos"
        if not folder.is_dir():
            folder.mkdir()
            self.command([sys.executable, "-c", WRITE_PHOTOS, str(folder)])
        return folder

    def run(self, name: str) -> Path:
        """Return the run folder of a training by its name."""
        return self.folder / f"run-{name.replace(' ', '-')}"

    def command(self, words: list[str]) -> str:
        """Run a command in the project and return its output.

        Raises:
            RuntimeError: it failed.
            subprocess.TimeoutExpired: it took more than the time that was left and a minute.
        """
        paths = os.pathsep.join(filter(None, (str(ROOT), str(HERE), os.environ.get("PYTHONPATH"))))
        left = max(0.0, self.end - time.monotonic()) + 60
        environment = os.environ | {"PYTHONPATH": paths, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        done = subprocess.run(words, capture_output=True, text=True, timeout=left, env=environment)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return done.stdout
