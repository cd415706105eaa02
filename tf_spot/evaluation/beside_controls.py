"""A task on a spotter's backbone, always beside three rivals: what its figures would be without what it learned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.evaluation.probes.examples import Examples, decoded_once
from tf_spot.evaluation.probes.probe import Fit, LayerScore, Work, fit_knn, linear_fit, summary
from tf_spot.evaluation.result_cache import Parts
from tf_spot.features.pooling import Extractor, Pooling
from tf_spot.progress import Progress

TASKS = ("linear", "knn")


def evaluate_task(
    task: str,
    *,
    backbone: keras.Model,
    autoencoder: Any,
    source: Any,
    layers: Iterable[str] | None = None,
    seed: int = 0,
    num_values: int = 9_000,
    pooling: str = "average",
    solver: str | None = None,
    epochs: int | None = None,
    batch_size: int = 256,
    parts: Parts | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Probes a backbone and its rivals on the same examples.

    The rivals: `random`, the same architecture at random weights; `encoding`, what the autoencoder makes of the images;
    `pixels`, the images shrunk to the same number of values.

    Args:
        task: one of `TASKS`.
        backbone: a spotter's.
        autoencoder: the spotter's.
        source: see `tf_spot.data`, with labels and a test split.
        layers: of the backbone; all by default.
        seed: draws the held-out labels and the random rival's weights (Keras' global seed is set to it).
        num_values, pooling: see `Pooling`.
        solver, epochs: of the task `linear`, see `linear_probe`; with `sgd` the result's task is `linear-sgd`.
        batch_size: images at a time.
        parts: keeps the scores of each extractor that is finished.
        on_progress: told `(done, total, text)`.

    Returns:
        the figures of a result file that follow from the evaluation: `task`, `method`, `data`, `metric` (accuracy),
        `unit` (percent), `seed`, `pooling`, what `linear_probe` returns, and `rivals` with the same figures each.

    Raises:
        UserError: an unknown task, a source without labels or test split, or what `linear_probe` raises.
    """
    fit = _fit(task, solver, epochs)
    require_labelled_test(source)
    pool = Pooling(num_values, pooling)
    names = None if layers is None else list(layers)
    rivals = rival_extractors(backbone, autoencoder, pool, seed)
    kept = parts or (lambda name, work: work())
    with decoded_once(source, batch_size) as (train_ds, test_ds):
        examples = Examples(train_ds, test_ds, seed)
        work = Work(on_progress, Work.needed(examples) * (1 + len(rivals)))

        def scores(extract: Extractor, what: str, which: list[str] | None = None) -> dict[str, LayerScore]:
            work.text, before = f"probing {what}", work.done
            found = kept(what, lambda: fit(extract, which, examples, pool, work))
            work.advance(before + Work.needed(examples) - work.done)  # all of it, where the part was found finished
            return {name: LayerScore(*score) for name, score in found.items()}

        spot = scores(backbone, "spot", names)
        random = scores(rivals["random"], "random", names)
        others = scores(rivals["others"], "encoding, pixels")
    of = len(examples.test_classes)
    if solver == "sgd":
        task = "linear-sgd"  # another figure than the ridge's, to be kept beside it
    same = {"task": task, "data": source.name, "metric": "accuracy", "unit": "percent"}
    compared = {"random": random} | {name: {name: score} for name, score in others.items()}
    return (
        {"method": "spot"} | same | {"seed": seed, "pooling": pooling} | examples.sizes | summary(spot, of)
        | {"rivals": {name: {"method": name} | same | summary(found, of) for name, found in compared.items()}}
    )  # fmt: skip


def rival_extractors(backbone: keras.Model, autoencoder: Any, pooling: Pooling, seed: int) -> dict[str, Extractor]:
    """`random`: the backbone's architecture anew. `others`: `encoding` and `pixels` as two layers of one extractor."""
    keras.utils.set_random_seed(seed)
    random: Extractor = backbone.__class__.from_config(backbone.get_config())

    @tf.function(autograph=False, reduce_retracing=True)
    def others(images: Any) -> dict[str, Any]:
        side = pooling.grid(*images.shape[1:])
        return {"encoding": autoencoder.encoder(images), "pixels": tf.image.resize(images, (side, side), "area")}

    return {"random": random, "others": others}


def format_table(result: dict[str, Any]) -> str:
    """What an evaluation found as a table of plain text.

    One column a layer or measure, and the best layer where there is one; `±` is a deviation over folds. Encoding and
    pixels have one figure each, under `best`. After `random` comes the lead over it, in points.
    """
    layers, rivals = list(result["by_layer"]), result["rivals"]
    best = ["best"] if "best_layer" in result else []
    spot, random = ([*figures["by_layer"].values(), *(figures["value"] for _ in best)]
                    for figures in (result, rivals["random"]))  # fmt: skip
    rows = {
        result["method"]: _cells(spot, result),
        "random": _cells(random, rivals["random"]),
        "lead over random": [f"{ours - theirs:+.1f}" for ours, theirs in zip(spot, random, strict=True)],
    }
    for name, rival in rivals.items():
        if name != "random":
            rows[name] = [""] * len(layers) + [f"{rival['value']:.1f}"]
    width = max(9, 2 + max(map(len, [*layers, *(cell for cells in rows.values() for cell in cells)])))
    head = f"{'':16}" + "".join(f"{name:>{width}}" for name in [*layers, *best])
    lines = [f"{name:16}" + "".join(f"{cell:>{width}}" for cell in cells) for name, cells in rows.items()]
    says = (
        f"{result['task']} on {result['data']}: {result['metric']} in {result['unit']}, standard error "
        f"{result['stderr']:.1f}; {result['train_images']:,} training and {result['test_images']:,} test images"
    )
    return "\n".join([says, head, *lines])


def _cells(values: list[float], figures: dict[str, Any]) -> list[str]:
    """With the deviation over the folds, where there are folds."""
    spread = list(figures.get("deviation", {}).values())
    return [f"{value:.1f}" + (f" ± {spread[i]:.1f}" if i < len(spread) else "") for i, value in enumerate(values)]


def _fit(task: str, solver: str | None, epochs: int | None) -> Fit:
    if task not in TASKS:
        raise UserError(f"unknown task; allowed: {', '.join(TASKS)}; received: {task}")
    if task == "linear":
        return linear_fit(solver or "ridge", epochs)
    if solver or epochs:
        raise UserError(f"--solver and --epochs go with the task linear; received: {task}")
    return fit_knn


def require_labelled_test(source: Any) -> None:
    """Raises a UserError for photos without labels or without a test split."""
    if not source.has_labels:
        raise UserError(
            f"a probe needs labelled photos; received {source.spec}, which has none; put the photos in one subfolder a "
            "class, or use a labelled source"
        )
    if not source.has_test:
        raise UserError(
            f"a probe needs a test split; received {source.spec}, which has none; add a folder test or val beside train"
        )
