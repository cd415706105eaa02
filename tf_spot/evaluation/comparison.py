"""A task on a spotter's backbone, always beside three rivals: what its figures would be without what it learned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from tf_spot.errors import UserError
from tf_spot.evaluation.examples import Examples
from tf_spot.evaluation.pooling import Extractor, Pooling
from tf_spot.evaluation.probes import Fit, LayerScore, Sink, Work, fit_knn, fit_linear, summary

TASKS: dict[str, Fit] = {"linear": fit_linear, "knn": fit_knn}


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
    batch_size: int = 256,
    progress: Sink | None = None,
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
        batch_size: images at a time.
        progress: is told `(done, total, text)`.

    Returns:
        the figures of a result file that follow from the evaluation: `task`, `method`, `data`, `metric` (accuracy),
        `unit` (percent), `seed`, `pooling`, what `linear_probe` returns, and `rivals` with the same figures each.

    Raises:
        UserError: an unknown task, a source without labels or test split, or what `linear_probe` raises.
    """
    fit = _task(task)
    require_labelled_test(source)
    pool = Pooling(num_values, pooling)
    names = None if layers is None else list(layers)
    examples = Examples(source.labelled("train", batch_size), source.labelled("test", batch_size), seed)
    rivals = rival_extractors(backbone, autoencoder, pool, seed)
    work = Work(progress, Work.needed(examples) * (1 + len(rivals)))

    def scores(extract: Extractor, what: str, which: list[str] | None = None) -> dict[str, LayerScore]:
        work.text = f"probing {what}"
        return fit(extract, which, examples, pool, work)

    spot = scores(backbone, "spot", names)
    random = scores(rivals["random"], "random", names)
    others = scores(rivals["others"], "encoding, pixels")
    of = len(examples.test_classes)
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

    def others(images: Any) -> dict[str, Any]:
        side = pooling.grid(*images.shape[1:])
        return {"encoding": autoencoder.encoder(images), "pixels": tf.image.resize(images, (side, side), "area")}

    return {"random": random, "others": others}


def format_table(result: dict[str, Any]) -> str:
    """What `evaluate_task` found as a table of plain text.

    One column a layer. Encoding and pixels have one figure each, under `best`. The last row of the backbone's block is
    its lead over random initialisation, in points.
    """
    layers, rivals = list(result["by_layer"]), result["rivals"]
    spot, random = _row(result, layers), _row(rivals["random"], layers)
    rows = {
        result["method"]: [f"{value:.1f}" for value in spot],
        "random": [f"{value:.1f}" for value in random],
        "lead over random": [f"{ours - theirs:+.1f}" for ours, theirs in zip(spot, random, strict=True)],
    }
    for name, rival in rivals.items():
        if name != "random":
            rows[name] = [""] * len(layers) + [f"{rival['value']:.1f}"]
    head = f"{'':16}" + "".join(f"{name:>9}" for name in [*layers, "best"])
    lines = [f"{name:16}" + "".join(f"{cell:>9}" for cell in cells) for name, cells in rows.items()]
    says = (
        f"{result['task']} on {result['data']}: {result['metric']} in {result['unit']}, standard error "
        f"{result['stderr']:.1f}; {result['train_images']:,} training and {result['test_images']:,} test images"
    )
    return "\n".join([says, head, *lines])


def _row(figures: dict[str, Any], layers: list[str]) -> list[float]:
    return [*(figures["by_layer"][name] for name in layers), figures["value"]]


def _task(task: str) -> Fit:
    if task not in TASKS:
        raise UserError(f"unknown task; allowed: {', '.join(TASKS)}; received: {task}")
    return TASKS[task]


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
