"""The evaluation of a run, recorded with everything that is needed to judge and repeat it."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_spot.config import Config, FinetuneNorms
from tf_spot.data import Source, open_source
from tf_spot.data.unreadable import unreadable
from tf_spot.data.voc import VOC
from tf_spot.distributed.strategies import is_chief
from tf_spot.errors import UserError
from tf_spot.evaluation import protocols
from tf_spot.evaluation.finetune import Recipe
from tf_spot.evaluation.protocols import Job
from tf_spot.evaluation.result_cache import ResultCache, weights_digest
from tf_spot.evaluation.result_file import write_result
from tf_spot.evaluation.stl10_files import local_spec
from tf_spot.evaluation.subject import LEARNED, Subject, named, open_subject
from tf_spot.evaluation.tasks import TASKS, Options, changed_settings, check_task
from tf_spot.models.data_dependent_init import check_rescalable
from tf_spot.progress import Progress
from tf_spot.runs.run import recipe_of
from tf_spot.storage.lock import LOCK, sole_writer
from tf_spot.storage.provenance import provenance

log = logging.getLogger("tf_spot")

BATCH = 64  # images at a time


def evaluate_run(
    run_path: str | Path,
    spec: str,
    task: str,
    *,
    recipe: Recipe | None = None,
    layers: Sequence[str] | None = None,
    num_values: int = Options.num_values,
    pooling: str = Options.pooling,
    solver: str | None = None,
    epochs: int | None = None,
    norms: FinetuneNorms | None = None,
    finetuned: bool = True,
    folds: bool = False,
    scales: Sequence[int] | None = None,
    test_scale: int | None = None,
    num_images: int = Options.num_images,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate a spotter, or a backbone alone, beside its controls and write RUN/results/TASK-DATA.json.

    The result of an evaluation with other settings, photos or weights that lies there is kept as TASK-DATA-KEY.json.
    The results of finished steps are kept in RUN/results/parts until all are finished, so the same call continues after
    a stop. Inside a strategy's scope its devices share the extraction of features; of several workers, the first one
    writes. Tasks that train with labels run on one device.

    Args:
        run_path: the run folder; for all tasks but `repair` also that of a row of a comparison, or a name of
            `load_pretrained`, whose results then lie in NAME/results of the current folder.
        spec: photos with labels and a test split, see `tf_spot.data.open_source`; `voc:PATH` for PASCAL VOC.
        task: one of `tasks.TASKS`, which also lists the options of each.
        recipe: how networks are trained with labels, in tasks of `tasks.RECIPE_TASKS`; by default as `Recipe()` says.
        layers, num_values, pooling, solver, finetuned, folds, scales, test_scale, num_images: see `tasks.Options`.
        epochs: of the linear probe's solver `sgd`, of `transfer`, or instead of the recipe's.
        norms: of the probes' batch norm, by default `frozen`, or instead of the recipe's.
        seed: of everything drawn.
        on_progress: called with (done, total, text).

    Returns:
        the metrics of the task, with `mask_auc` (of the probes: the mask head against the true keep mask, on the test
        images; None without a mask head), `preset`, `images_seen` and `seconds` (of pre-training), `config`,
        `training_command`, `training_data`, `fingerprint` (of the photos), `photos` (their number by split), `classes`,
        `settings` (those that are not at their defaults), `key` (another one for other settings, photos or weights),
        `unreadable` ("name: reason" of the photos left out), `parts_resumed`, `command`, `commit`, `versions`,
        `machine` and `evaluation_seconds` (of this call: less after a stop, see `parts_resumed`).

    Raises:
        UserError: no run, no trained spotter, photos or options that do not fit, or several devices for a task that
            trains with labels.
    """
    started = time.monotonic()
    options = Options(
        _tuple(layers),
        num_values,
        pooling,
        solver,
        epochs,
        norms,
        finetuned,
        folds,
        _tuple(scales),
        test_scale,
        num_images,
    )
    recipe = recipe or Recipe()
    check_task(task, options, recipe)
    if TASKS[task].trains:
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            raise UserError(f"--task {task} runs on one device; add --strategy none")
        recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
        recipe = recipe if norms is None else replace(recipe, norms=norms)
    config, folder = recipe_of(run_path), Path(run_path) / "results"
    chief = is_chief(tf.distribute.get_strategy())
    # One at a time of each task, as they write the same files; other tasks of the run may run beside it.
    with sole_writer(folder, "evaluation", f"{LOCK}-{task}") if chief else nullcontext():
        source = _source(spec, task, config)  # before the network: its mistakes are found sooner
        job = _opened(open_subject(run_path), source, task, options, recipe, seed, on_progress)
        metrics = getattr(protocols, TASKS[task].runner)(job)
        if job.subject.method != LEARNED:
            metrics = named(metrics, job.subject.method)
        result: dict[str, Any] = metrics | {"mask_auc": metrics.get("mask_auc")} | training_record(job.subject, metrics)
        result |= {"fingerprint": _fingerprint(job.source), "parts_resumed": job.cache.resumed} | provenance()
        result |= {"photos": job.source.counts(), "classes": len(job.source.class_names or ())}
        result |= {"settings": changed_settings(options, recipe), "key": job.cache.path.name}
        result["unreadable"] = job.source.bad_files
        if result["unreadable"]:
            log.warning("%s", unreadable(result["unreadable"]))
        result["evaluation_seconds"] = round(time.monotonic() - started, 1)
        if chief:
            write_result(folder, result)
            job.cache.forget()
    return result


def training_record(subject: Subject, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the pre-training of the backbone and of each control took: preset, images seen and seconds.

    Args:
        subject: the backbone.
        metrics: of an evaluation, with `seed` and `rivals`.
    """
    spent = subject.spent
    both = {name: sum(stage[name] for stage in spent.values()) for name in ("images_seen", "seconds")}
    untrained = {"images_seen": 0, "seconds": 0.0}
    preset = {"preset": subject.config.preset}
    common = preset | {"seed": metrics["seed"]}
    # Of the controls only the encoding was trained, by stage 1; beside adapted features stand the backbone's own.
    trained = {"encoding": spent.get("autoencoder", untrained), subject.method: both}
    controls = {name: control | common | trained.get(name, untrained) for name, control in metrics["rivals"].items()}
    record = {"config": subject.config.to_dict(), "training_command": subject.command, "training_data": subject.data}
    return preset | both | {"rivals": controls} | record


def _opened(
    subject: Subject,
    source: Source | VOC,
    task: str,
    options: Options,
    recipe: Recipe,
    seed: int,
    on_progress: Progress | None,
) -> Job:
    """Open the cached results of an evaluation."""
    if recipe.rescale:
        check_rescalable(subject.backbone)
    depends_on = _depends_on(task, options, recipe, seed, subject) | {"fingerprint": _fingerprint(source)}
    cache = ResultCache(subject.folder / "results" / "parts", depends_on)
    if on_progress is not None and subject.method != LEARNED:
        on_progress = functools.partial(_under_its_name, on_progress, subject.method)
    return Job(task, subject, source, options, recipe, seed, BATCH, cache, on_progress)


def _under_its_name(on_progress: Progress, method: str, done: int, total: int, text: str) -> None:
    on_progress(done, total, text.replace(LEARNED, method))


def _source(spec: str, task: str, config: Config) -> Source | VOC:
    if TASKS[task].data == "voc":
        return VOC(spec)
    return open_source(local_spec(spec) if TASKS[task].data == "stl10" else spec, config)


def _fingerprint(source: Source | VOC) -> str:
    return source.fingerprint() if isinstance(source, VOC) else source.fingerprint


def _depends_on(task: str, options: Options, recipe: Recipe, seed: int, subject: Subject) -> dict[str, object]:
    """Return what cached results depend on, besides the photos. Other keys would orphan those of earlier versions."""
    settings: dict[str, object] = {"task": task, "layers": options.layers, "seed": seed}
    if not TASKS[task].trains:
        probe = ("num_values", "pooling", "solver", "epochs")
        settings |= {name: getattr(options, name) for name in probe}
        settings |= {} if options.norms is None else {"norms": options.norms}
        networks = [subject.backbone, *([] if subject.autoencoder is None else [subject.autoencoder])]
        return settings | {"weights": weights_digest(*networks)}
    settings |= {"finetuned": options.finetuned} | asdict(recipe)
    if "folds" in TASKS[task].options:
        settings |= {"folds": options.folds, "transfer_epochs": options.epochs}
    if "scales" in TASKS[task].options:
        settings |= {"scales": options.scales, "test_scale": options.test_scale}
    if "num_images" in TASKS[task].options:
        settings |= {"num_images": options.num_images}
    return settings | {"weights": weights_digest(subject.backbone)}


def _tuple(values: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)
