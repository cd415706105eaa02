"""Measure everything on a GPU: python benchmarks/gpu.py [--torch-python PYTHON] [--photos FOLDER] [--minutes 8]

Writes results/benchmarks/CARD/PART.json for each part of `PARTS`, CARD being the GPU's name, such as h100. Contestants
take turns (take_turns.py); each is one process that computes all of its variants. They prepare the variants of the
steps side by side first. A part stops preparing variants when its share of the minutes is used up: what was left out is
named in its file under `missing`, as are variants that fail. The parts stand in the order of what matters most.
preparation.log has the seconds that each variant took to its first step, also of those that were ready too late.

`--torch-python` is a Python with torch and CUDA; without it there are no ratios to PyTorch. `--photos` is a folder of
labelled JPEG files in train/ and test/; without it the bundled photos are used, written as JPEG files.

`--dry-run` runs every part on the CPU with tiny networks, to see that it works: it writes to --out alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
sys.path[:0] = [str(ROOT), str(HERE)]

from gpu_commands import evaluation, train  # noqa: E402
from gpu_session import DETERMINISTIC, OURS, TORCH, TORCH_COMPILED, XLA, Preparation, Session  # noqa: E402
from gpu_steps import STAGES, everything, forms, memory, steps  # noqa: E402
from take_turns import started  # noqa: E402

from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

TINY = ["--width", "0.125", "--matrix", "64"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--only", choices=tuple(PARTS), action="append", help="measure this part only; may be repeated")
    parser.add_argument(
        "--without", choices=(*XLA.values(), DETERMINISTIC, TORCH, *TORCH_COMPILED.values()), action="append",
        default=[], help="leave a contestant out; may be repeated",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a turn")
    parser.add_argument("--out", type=Path, help="folder of the files; by default results/benchmarks/CARD")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    if options.dry_run:
        if options.out is None:
            parser.error("--dry-run writes no results: give a folder with --out")
        options.batch, options.size, options.rounds, options.seconds, options.minutes = 4, 32, 1, 0.0, 60.0
    measure(options, options.only or list(PARTS))


def measure(options: argparse.Namespace, names: list[str]) -> None:
    """Measure the parts of these names, and write a file for each as soon as it is measured."""
    began, total = time.monotonic(), sum(PARTS[name][1] for name in names)
    ends, share = {}, 0.0
    for name in names:
        share += PARTS[name][1] / total
        ends[name] = began + 60 * options.minutes * share
    words = ["--batch", str(options.batch), "--size", str(options.size)]
    ours = [sys.executable, str(HERE / "step_variants.py"), *words, *(TINY if options.dry_run else [])]
    commands = dict.fromkeys((OURS, *XLA.values()), ours) | {DETERMINISTIC: [*ours, "--deterministic"]}
    if options.torch_python:
        torch = [str(options.torch_python), str(HERE / "torch_step.py"), *words]
        commands |= dict.fromkeys((TORCH, *TORCH_COMPILED.values()), torch)
    commands = {name: command for name, command in commands.items() if name not in options.without}
    environments = {} if options.dry_run else {name: environment(name) for name in commands}
    origin = provenance("python benchmarks/gpu.py --torch-python PYTHON --photos FOLDER")
    with started(commands, environments) as contestants, tempfile.TemporaryDirectory() as folder:
        device = contestants[OURS].ready["device"]
        target = options.out or ROOT / "results" / "benchmarks" / card(device)
        target.mkdir(parents=True, exist_ok=True)
        shared = {"device": device, "dry_run": options.dry_run, "image_size": options.size, "batch": options.batch}
        known: dict[str, dict[str, Any]] = {}
        preparation = Preparation(contestants)
        stages = [name for name in names if name in STAGES]
        if stages:
            last = max(ends[name] for name in stages)
            ends |= dict.fromkeys(stages, last)
            preparation.prepare(everything(names), began + 0.6 * (last - began))
            preparation.wait(began + 0.75 * (last - began))  # the rest is for the turns
        for name in names:
            session = Session(options, contestants, preparation, ends[name], Path(folder), known)
            try:
                found = PARTS[name][0](session)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                found = {"missing": {name: str(error)[-300:]}}
            known[name] = {"task": "gpu", "part": name} | shared | found | origin
            write_json(target / f"{name}.json", known[name])
            summary = known[name].get("ratios") or known[name].get("seconds")
            print(f"{time.monotonic() - began:5.0f} s  {name}: {json.dumps(summary)}", flush=True)
            write_json(target / "preparation.log", shared | preparation.told() | origin)


def environment(contestant: str) -> dict[str, str]:
    """Return the environment of a contestant on a GPU, whose memory it shares with the others."""
    if contestant not in (TORCH, *TORCH_COMPILED.values()):
        return os.environ | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    # What leads our Python to its TensorFlow and CUDA leads another one astray.
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LD_LIBRARY_PATH")}


def card(device: str) -> str:
    """Return the folder for a GPU's name: `h100` for NVIDIA H100 80GB HBM3."""
    found = re.search(r"\b([A-Z]+\d+\w*)\b", device)
    return found[1].lower() if found else re.sub(r"\W+", "-", device).lower()


PARTS: dict[str, tuple[Callable[[Session], dict[str, Any]], float]] = {  # and its share of the time
    "spotter": (steps("spotter"), 2.6),
    "autoencoder": (steps("autoencoder"), 1.0),
    "backbone": (steps("backbone"), 0.6),
    "train": (train, 2.2),
    "evaluation": (evaluation, 0.5),
    "forms": (forms, 0.7),
    "memory": (memory, 0.4),
}

if __name__ == "__main__":
    main()
