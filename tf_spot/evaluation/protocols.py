"""Evaluations that train with labels, on the spotter of a run: opened, recorded, and gone on with after a stop."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_spot.data import open_source
from tf_spot.data.voc import VOC
from tf_spot.errors import UserError
from tf_spot.evaluation.evaluate_run import training_record
from tf_spot.evaluation.finetune import Recipe, finetune
from tf_spot.evaluation.result_cache import Parts, digest
from tf_spot.evaluation.stl10 import local_spec, official_files, stl10
from tf_spot.evaluation.voc.classification import voc_classification
from tf_spot.evaluation.voc.detection import voc_detection
from tf_spot.evaluation.voc.proposals import default_folder
from tf_spot.evaluation.voc.segmentation import voc_segmentation
from tf_spot.models.data_dependent_init import check_rescalable
from tf_spot.progress import Progress
from tf_spot.runs.load import load_spotter
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_file, write_json
from tf_spot.storage.provenance import provenance


def run_protocol(
    run_path: str | Path,
    spec: str,
    task: str,
    recipe: Recipe,
    *,
    layers: Sequence[str] | None = None,
    finetuned: bool = True,
    scales: Sequence[int] | None = None,
    test_scale: int | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Runs a protocol and writes RUN/results/TASK-DATA.json.

    Finished parts are kept in RUN/results/parts until all are finished: the same call goes on after a stop.

    Args:
        run_path: the run folder.
        spec: the photos, see `tf_spot.data.open_source`.
        task: one of `PROTOCOLS`.
        recipe: of what is trained.
        layers, finetuned: of `stl10`.
        scales, test_scale: of `voc_detection`.
        seed: of everything drawn.
        on_progress: told (done, total, text).

    Returns:
        the figures of the task, with `config`, `recipe`, `fingerprint`, `commit`, `versions`, `machine`, `command` and
        `evaluation_seconds` (of this call: less after a stop, see `parts_resumed`).

    Raises:
        UserError: no run, no trained spotter, photos or options that do not fit, or several replicas.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        raise UserError(f"--task {task} runs on one device; add --strategy none")
    if task != "voc-detection" and (scales or test_scale):
        raise UserError(f"--scales and --test-scale go with --task voc-detection; received: --task {task}")
    started, run = time.monotonic(), Run(run_path)
    settings: dict[str, Any] = {"finetuned": finetuned, "seed": seed}
    settings["layers"] = None if layers is None else list(layers)
    if task == "voc-detection":
        settings |= {"scales": None if scales is None else list(scales), "test_scale": test_scale}
    job = Job(run, spec, task, recipe, settings, on_progress)
    if recipe.rescale:
        check_rescalable(job.backbone)
    figures = PROTOCOLS[task](job)
    record = training_record(run, figures) | {"fingerprint": job.fingerprint, "parts_resumed": job.parts.resumed}
    result = figures | {"mask_auc": None} | record | provenance()
    result["evaluation_seconds"] = round(time.monotonic() - started, 1)
    write_json(run.path / "results" / f"{task}-{figures['data']}.json", result)
    job.parts.forget()
    return result


class Job:
    """One call of a protocol: what it needs, and where its finished parts are kept."""

    def __init__(
        self, run: Run, spec: str, task: str, recipe: Recipe, settings: dict[str, Any], on_progress: Progress | None
    ) -> None:
        self.run, self.spec, self.task, self.recipe, self.settings, self.on_progress = (
            run,
            spec,
            task,
            recipe,
            settings,
            on_progress,
        )
        self.seed: int = settings["seed"]
        self.backbone = load_spotter(run).backbone
        self.fingerprint = ""

    def open(self, spec: str) -> Any:
        """The photos; now it is known what the parts depend on."""
        config = self.run.config
        source = open_source(spec, config)
        self.keep_parts(source.fingerprint)
        return source

    def keep_parts(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        depends_on = self.settings | asdict(self.recipe) | {"task": self.task, "fingerprint": fingerprint}
        self.parts = Parts(self.run.path / "results" / "parts", depends_on | {"weights": digest(self.backbone)})


def _finetune(job: Job) -> dict[str, Any]:
    """Also puts the classifier into RUN/classifier.keras."""
    source = job.open(job.spec)
    figures = finetune(job.backbone, source, job.recipe, job.parts, seed=job.seed, on_progress=job.on_progress)
    trained = job.parts.path / "spot.keras"
    write_file(job.run.model_path("classifier"), lambda aside: shutil.copyfile(trained, aside))
    return figures


def _stl10(job: Job) -> dict[str, Any]:
    spec = local_spec(job.spec)
    source = job.open(spec)
    wanted = {name: job.settings[name] for name in ("layers", "finetuned", "seed")}
    figures = stl10(job.backbone, source, job.recipe, job.parts, on_progress=job.on_progress, **wanted)
    return figures | {"official_files": official_files(spec)}


def _voc_classification(job: Job) -> dict[str, Any]:
    voc, data = VOC(job.spec), job.run.config.data
    job.keep_parts(voc.fingerprint())
    return voc_classification(
        job.backbone,
        voc,
        job.recipe,
        job.parts,
        image_size=data.image_size,
        config=data,
        seed=job.seed,
        on_progress=job.on_progress,
    )


def _voc_detection(job: Job) -> dict[str, Any]:
    voc, config = VOC(job.spec), job.run.config
    job.keep_parts(voc.fingerprint())
    return voc_detection(
        job.backbone,
        voc,
        job.recipe,
        job.parts,
        image_size=config.data.image_size,
        units=config.network.fc_units,
        proposals=default_folder(),
        boxes=job.run.path / "results" / "voc-detection-boxes",
        scales=job.settings["scales"],
        test_scale=job.settings["test_scale"],
        seed=job.seed,
        on_progress=job.on_progress,
    )


def _voc_segmentation(job: Job) -> dict[str, Any]:
    voc = VOC(job.spec)
    job.keep_parts(voc.fingerprint())
    return voc_segmentation(
        job.backbone,
        voc,
        job.recipe,
        job.parts,
        image_size=job.run.config.data.image_size,
        masks=job.run.path / "results" / "voc-segmentation-masks",
        seed=job.seed,
        on_progress=job.on_progress,
    )


PROTOCOLS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "finetune": _finetune,
    "stl10": _stl10,
    "voc-classification": _voc_classification,
    "voc-detection": _voc_detection,
    "voc-segmentation": _voc_segmentation,
}
