"""The parts of benchmarks/gpu.py that time whole commands: a training end to end, and an evaluation."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from gpu_session import HERE, Session
from run import median

STAGES = ("autoencoder", "spotter")


def train(session: Session) -> dict[str, Any]:
    """Train from a folder of JPEG files and from shards, and compare the rates with the step's own."""
    files, shards = f"folder:{session.photos}", session.folder / "shards"
    found: dict[str, Any] = {"images_per_second": {}, "seconds": {}, "missing": {}}
    for name, data in (("JPEG files", files), ("shards", f"shards:{shards}")):
        words = ["--data", data, "--out", str(session.run(name)), *recipe(session)]
        try:
            if name == "shards":
                session.command([sys.executable, "-m", "tf_spot", "pack", "--data", files, "--out", str(shards)])
                words += ["--autoencoder", str(session.run("JPEG files"))]
            output = session.command([sys.executable, str(HERE / "train_end_to_end.py"), *words])
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            found["missing"][name] = str(error)[-300:]
            continue
        told = json.loads(output.splitlines()[-1])
        found["seconds"][name] = told["seconds"]
        for stage, rates in told["images_per_second"].items():
            found["images_per_second"][f"{stage}, {name}"] = median(rates)
    return found | {"ratios": shares_of_step(found["images_per_second"], session.known)}


def shares_of_step(trained: dict[str, float], known: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the rates of trainings over the rate of the step alone, which an earlier part has measured."""
    alone = {stage: known.get(stage, {}).get("images_per_second", {}).get("ours, bfloat16") for stage in STAGES}
    of = {name: alone.get(name.partition(",")[0]) for name in trained}
    return {f"{name} / its step": round(rate / of[name], 3) for name, rate in trained.items() if of[name]}


def recipe(session: Session) -> list[str]:
    """Return the options of a training that takes some seconds."""
    options, epochs = session.options, 3
    per_epoch = 2 if options.dry_run else 100
    fields = {
        "training.batch_size": options.batch,
        "training.steps_per_epoch": per_epoch,
        "training.autoencoder_steps": epochs * per_epoch,
        "training.spotter_steps": epochs * per_epoch,
        "training.deterministic": "false",
    }
    if not options.dry_run:
        fields |= {"data.image_size": options.size, "training.precision": "mixed_bfloat16"}
    preset = ["--preset", "tiny" if options.dry_run else "stl10"]
    return [*preset, *(word for name, value in fields.items() for word in ("--set", f"{name}={value}"))]


def evaluation(session: Session) -> dict[str, Any]:
    """Time a linear evaluation of the run of the part before, from the start of the command to its end."""
    run = session.run("JPEG files")
    if not run.is_dir():
        return {"missing": {"linear": "there is no run: the part `train` was not measured"}}
    data = f"folder:{session.options.photos}" if session.options.photos else "photos"
    began = time.monotonic()
    words = ["evaluate", str(run), "--data", data, "--task", "linear", "--json"]
    words += ["--num-values", "50"] if session.options.dry_run else []
    told = json.loads(session.command([sys.executable, "-m", "tf_spot", *words]).splitlines()[-1])
    return {"seconds": {"linear": round(time.monotonic() - began, 1)}, "data": told["data"]}
