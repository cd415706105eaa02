"""What the parts of benchmarks/gpu.py share: contestants that compute many variants, photos, runs, and the clock."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from run import median
from take_turns import Contestant

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"

Described = dict[str, Any]
Variants = dict[str, tuple[str, Described]]  # by name: the contestant, and what it is asked to do
PRECISIONS = ("bfloat16", "float32")  # float32 is TF32 on a GPU, for both sides
# Contestants. What takes long to compile has a process of its own in each precision.
OURS, DETERMINISTIC, TORCH = "ours", "ours, deterministic", "torch"
XLA = {precision: f"ours, XLA, {precision}" for precision in PRECISIONS}
TORCH_COMPILED = {precision: f"torch, compiled, {precision}" for precision in PRECISIONS}
WRITE_PHOTOS = "import pathlib, sys, input_pipeline; input_pipeline.make_photos(pathlib.Path(sys.argv[1]))"


class Preparation:
    """Lets contestants prepare their variants side by side, each in its own order.

    Compiling and tuning take most of a measurement. All do it at the same time, so that nobody tunes on a quieter card.

    Args:
        contestants: by name.

    Attributes:
        replies: by contestant and variant, what it said of a variant that it has prepared, or why it cannot.
    """

    def __init__(self, contestants: dict[str, Contestant]) -> None:
        self.contestants = contestants
        self.replies: dict[tuple[str, str], dict[str, Any]] = {}
        self._threads: dict[str, threading.Thread] = {}

    def prepare(self, variants: Sequence[tuple[str, Described]], until: float) -> None:
        """Prepare variants in this order until a time on the monotonic clock; what is begun then goes on meanwhile."""
        for name in self.contestants:
            wanted = [described for who, described in variants if who == name and not self.reply(who, described)]
            if not wanted or time.monotonic() > until:
                continue
            earlier = self._threads.get(name)
            # A daemon: a compilation that has no end does not keep the program alive.
            thread = threading.Thread(target=self._work, args=(name, wanted, until, earlier), daemon=True)
            self._threads[name] = thread
            thread.start()
        self.wait(until)

    def wait(self, until: float) -> None:
        """Wait for those that are still preparing something, until a time on the monotonic clock."""
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self, name: str, wanted: Sequence[Described], until: float, earlier: threading.Thread | None) -> None:
        if earlier is not None:
            earlier.join()
        for described in wanted:
            if time.monotonic() > until:
                return
            line = json.dumps(described | {"seconds": 0.0})
            try:
                self.replies[name, key(described)] = self.contestants[name].ask(line)
            except RuntimeError as error:  # its process ended
                self.replies[name, key(described)] = {"error": str(error)[-300:]}

    def reply(self, name: str, described: Described) -> dict[str, Any] | None:
        return self.replies.get((name, key(described)))

    def told(self) -> dict[str, Any]:
        """Return the seconds to the first step of what is prepared, and the errors of what cannot be."""
        found: dict[str, Any] = {"first_seconds": {}, "errors": {}, "busy": list(filter(self.busy, self.contestants))}
        for (contestant, described), reply in self.replies.items():
            kind = "errors" if "error" in reply else "first_seconds"
            found[kind][f"{contestant}: {described}"] = reply["error"] if "error" in reply else reply["first_seconds"]
        return found

    def busy(self, name: str) -> bool:
        """True for a contestant that is still preparing."""
        return name in self._threads and self._threads[name].is_alive()


def key(described: Described) -> str:
    return json.dumps(described, sort_keys=True)


class Session:
    """What a part needs to measure.

    Attributes:
        options: of the command line.
        contestants: by name.
        preparation: of all parts.
        end: when the part should be done, on the monotonic clock.
        folder: for photos and runs.
        known: the results of the parts before.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        contestants: dict[str, Contestant],
        preparation: Preparation,
        end: float,
        folder: Path,
        known: dict[str, dict[str, Any]],
    ) -> None:
        self.options, self.contestants, self.preparation = options, contestants, preparation
        self.end, self.folder, self.known = end, folder, known

    def turns(self, variants: Variants) -> dict[str, Any]:
        """Let all variants take turns, in a rotating order, after each has been prepared.

        Returns:
            "images_per_second" (medians), "runs" (of every round), "variants" (what each said of itself), "missing".
        """
        rounds, seconds = self.options.rounds, self.options.seconds
        here = {name: variant for name, variant in variants.items() if variant[0] in self.contestants}
        self.preparation.prepare(list(here.values()), self.end - rounds * (seconds + 0.1) * len(here))
        said, missing, runs = {}, {}, {}
        for name, (contestant, described) in here.items():
            reply = self.preparation.reply(contestant, described)
            if reply is None or self.preparation.busy(contestant):
                missing[name] = "no time was left"
            elif "error" in reply:
                missing[name] = reply["error"]
            else:
                said[name] = {field: value for field, value in reply.items() if field != "images_per_second"}
        names = list(said)
        for number in range(rounds if names else 0):
            first = number % len(names)
            for name in names[first:] + names[:first]:
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
