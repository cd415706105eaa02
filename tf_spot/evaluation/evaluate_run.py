"""The evaluation of a run, recorded with everything that is needed to judge and repeat it."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_spot.data import open_source
from tf_spot.distributed.strategies import is_chief, num_workers
from tf_spot.evaluation import evaluate_task
from tf_spot.evaluation.result_cache import Parts, digest
from tf_spot.progress import Progress
from tf_spot.runs.load import load_spotter
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json
from tf_spot.storage.provenance import provenance
from tf_spot.training.health import game_signals

BATCH = 64  # images at a time


def evaluate_run(
    run_path: str | Path,
    spec: str,
    task: str,
    *,
    layers: Sequence[str] | None = None,
    num_values: int = 9_000,
    pooling: str = "average",
    solver: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluates the spotter of a run beside its rivals and writes RUN/results/TASK-DATA.json.

    Inside a strategy's scope its devices share the extraction of features; of several workers, the first writes. With
    one worker the same call goes on after a stop: what is finished of the spotter and its rivals is kept in
    RUN/results/parts until all is.

    Args:
        run_path: the run folder.
        spec: labelled photos with a test split, see `tf_spot.data.open_source`.
        task, layers, num_values, pooling, solver, epochs, seed: see `tf_spot.evaluation.evaluate_task`.
        on_progress: told (done, total, text).

    Returns:
        what `evaluate_task` returns, with `parts_resumed`, `mask_auc` (the mask head against the true keep mask, on
        the test images; None without a mask head), `preset`, `images_seen` and `seconds` (of training),
        `evaluation_seconds`, `fingerprint` (of the photos), `command`, `training_command`, `training_data`, `config`,
        `commit`, `versions` and `machine`.

    Raises:
        UserError: no run, no trained spotter, or photos or options that do not fit.
    """
    started = time.monotonic()
    run = Run(run_path)
    config = run.config
    source = open_source(spec, config)
    spotter = load_spotter(run)
    settings = {"task": task, "layers": None if layers is None else list(layers), "num_values": num_values}
    settings |= {"pooling": pooling, "solver": solver, "epochs": epochs, "seed": seed}
    weights = digest(spotter.backbone, spotter.autoencoder)
    parts = Parts(run.path / "results" / "parts", settings | {"fingerprint": source.fingerprint, "weights": weights})
    alone = num_workers(tf.distribute.get_strategy()) == 1  # several share every batch: none of them may skip one
    figures = evaluate_task(
        task,
        backbone=spotter.backbone,
        autoencoder=spotter.autoencoder,
        source=source,
        layers=layers,
        seed=seed,
        num_values=num_values,
        pooling=pooling,
        solver=solver,
        epochs=epochs,
        batch_size=BATCH,
        parts=parts if alone else None,
        on_progress=on_progress,
    )
    signals = game_signals(spotter, source.images("test", BATCH))
    result = figures | {"mask_auc": signals.get("held_out_mask_auc")} | training_record(run, figures)
    result |= {"fingerprint": source.fingerprint, "parts_resumed": parts.resumed} | provenance()
    result |= {"evaluation_seconds": round(time.monotonic() - started, 1)}
    if is_chief(tf.distribute.get_strategy()):
        write_json(run.path / "results" / f"{figures['task']}-{source.name}.json", result)
        parts.forget()
    return result


def training_record(run: Run, figures: dict[str, Any]) -> dict[str, Any]:
    """What the backbone and each rival had: the preset, the images seen and the seconds of their training."""
    spent = run.spent()
    both = {name: sum(stage[name] for stage in spent.values()) for name in ("images_seen", "seconds")}
    untrained = {"images_seen": 0, "seconds": 0.0}
    preset = {"preset": run.config.preset}
    same = preset | {"seed": figures["seed"]}
    rivals = {
        name: rival | same | (spent["autoencoder"] if name == "encoding" else untrained)
        for name, rival in figures["rivals"].items()
    }
    trained_with = json.loads((run.path / "versions.json").read_text(encoding="utf-8"))
    command = shlex.join(["tf-spot", *trained_with["command"][1:]])
    record = {"config": run.config.to_dict(), "training_command": command, "training_data": run.data}
    return preset | both | {"rivals": rivals} | record
