"""How each task runs on an opened run: one function per task of `tasks.TASKS`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tf_spot.config import TransferConfig
from tf_spot.distributed.strategies import num_workers
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_controls import evaluate_task
from tf_spot.evaluation.finetune import Recipe, finetune
from tf_spot.evaluation.repair.measure import measure_repair
from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.evaluation.stl10 import stl10
from tf_spot.evaluation.stl10_files import official_files
from tf_spot.evaluation.subject import Subject
from tf_spot.evaluation.tasks import Options
from tf_spot.evaluation.transfer import transfer
from tf_spot.evaluation.voc.classification import voc_classification
from tf_spot.evaluation.voc.detection import voc_detection
from tf_spot.evaluation.voc.proposals import default_folder
from tf_spot.evaluation.voc.segmentation import voc_segmentation
from tf_spot.progress import Progress
from tf_spot.storage.files import write_file
from tf_spot.training.health import game_signals


@dataclass(frozen=True)
class Job:
    """One evaluation, with everything opened."""

    task: str
    subject: Subject
    source: Any  # `VOC` for the VOC tasks, else a `Source`: see `tasks.Task.data`
    options: Options
    recipe: Recipe
    seed: int
    batch_size: int  # images at a time, where nothing is trained
    cache: ResultCache
    on_progress: Progress | None


def run_probe(job: Job) -> dict[str, Any]:
    """Probe frozen layers, and measure how well the mask head sees the damage of test images."""
    # Several workers share every batch: none of them may skip one that it finds cached.
    alone = num_workers(tf.distribute.get_strategy()) == 1
    metrics = evaluate_task(
        job.task,
        backbone=job.subject.backbone,
        autoencoder=job.subject.autoencoder,
        source=job.source,
        layers=job.options.layers,
        seed=job.seed,
        num_values=job.options.num_values,
        pooling=job.options.pooling,
        solver=job.options.solver,
        epochs=job.options.epochs,
        norms=job.options.norms or "frozen",
        batch_size=job.batch_size,
        cache=job.cache if alone else None,
        on_progress=job.on_progress,
    )
    if job.subject.spotter is None:
        return metrics
    signals = game_signals(job.subject.spotter, job.source.images("test", job.batch_size))
    return metrics | {"mask_auc": signals.get("held_out_mask_auc")}


def run_finetune(job: Job) -> dict[str, Any]:
    """Train classifiers, and put that of the backbone into RUN/classifier.keras."""
    metrics = finetune(
        job.subject.backbone, job.source, job.recipe, job.cache, seed=job.seed, on_progress=job.on_progress
    )
    trained = job.cache.path / "spot.keras"
    write_file(job.subject.folder / "classifier.keras", lambda aside: shutil.copyfile(trained, aside))
    return metrics


def run_repair(job: Job) -> dict[str, Any]:
    """Measure how well the damage is hidden."""
    if job.subject.spotter is None:
        raise UserError(f"--task repair needs a run folder; received: {job.subject.folder}, a backbone alone")
    return measure_repair(
        job.subject.spotter, job.source, num_images=job.options.num_images, seed=job.seed, on_progress=job.on_progress
    )


def run_transfer(job: Job) -> dict[str, Any]:
    """Train classifiers by the authors' protocol."""
    epochs = job.options.epochs
    return transfer(
        job.subject.backbone,
        job.source,
        TransferConfig() if epochs is None else TransferConfig(epochs=epochs),
        job.cache,
        folds=job.options.folds,
        finetuned=job.options.finetuned,
        seed=job.seed,
        on_progress=job.on_progress,
    )


def run_stl10(job: Job) -> dict[str, Any]:
    """Run STL-10's ten folds, and record which files are the official ones."""
    metrics = stl10(
        job.subject.backbone,
        job.source,
        job.recipe,
        job.cache,
        layers=job.options.layers,
        finetuned=job.options.finetuned,
        seed=job.seed,
        on_progress=job.on_progress,
    )
    return metrics | {"official_files": official_files(job.source.spec)}


def run_voc_classification(job: Job) -> dict[str, Any]:
    """Run PASCAL VOC's classification."""
    config = job.subject.config.data
    return voc_classification(
        job.subject.backbone,
        job.source,
        job.recipe,
        job.cache,
        image_size=config.image_size,
        config=config,
        seed=job.seed,
        on_progress=job.on_progress,
    )


def run_voc_detection(job: Job) -> dict[str, Any]:
    """Run PASCAL VOC's detection, and put the boxes found into RUN/results/voc-detection-boxes."""
    config = job.subject.config
    return voc_detection(
        job.subject.backbone,
        job.source,
        job.recipe,
        job.cache,
        image_size=config.data.image_size,
        units=config.network.fc_units,
        proposals=default_folder(),
        boxes=job.subject.folder / "results" / "voc-detection-boxes",
        scales=job.options.scales,
        test_scale=job.options.test_scale,
        seed=job.seed,
        on_progress=job.on_progress,
    )


def run_voc_segmentation(job: Job) -> dict[str, Any]:
    """Run PASCAL VOC's segmentation, and put the masks found into RUN/results/voc-segmentation-masks."""
    return voc_segmentation(
        job.subject.backbone,
        job.source,
        job.recipe,
        job.cache,
        image_size=job.subject.config.data.image_size,
        masks=job.subject.folder / "results" / "voc-segmentation-masks",
        seed=job.seed,
        on_progress=job.on_progress,
    )
