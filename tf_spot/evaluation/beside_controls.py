"""A probe of a spotter's backbone beside three controls: what the metrics would be without what it learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast, get_args

import tensorflow as tf

from tf_spot.config import FinetuneNorms
from tf_spot.data import Source
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_random import untrained
from tf_spot.evaluation.probes.adapted_norms import adapted, spread_photos
from tf_spot.evaluation.probes.examples import Examples, decoded_once, require_labelled_test
from tf_spot.evaluation.probes.fit import Fit, LayerScore, fit_knn, work_needed
from tf_spot.evaluation.probes.probe import linear_fit, summary
from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.evaluation.tasks import PROBES
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.features.pooling import Extractor, Pooling
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones import Backbone
from tf_spot.progress import Progress


def evaluate_task(
    task: str,
    *,
    backbone: Backbone,
    autoencoder: Autoencoder | None,
    source: Source,
    layers: Iterable[str] | None = None,
    seed: int = 0,
    num_values: int = 9_000,
    pooling: str = "average",
    solver: str | None = None,
    epochs: int | None = None,
    norms: FinetuneNorms = "frozen",
    batch_size: int = 256,
    cache: ResultCache | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Probe a backbone and its controls on the same examples.

    The controls: `random`, the same architecture at random weights; `encoding`, the autoencoder's encoding of the
    images; `pixels`, the images shrunk to the same number of values. With `norms="adapt"` learned and random features
    are probed twice: as they are, and with the moments of batch norm taken from training photos (`adapted_norms`).

    Args:
        task: `linear` or `knn`.
        backbone: a spotter's.
        autoencoder: the spotter's; None: the control `encoding` is left out.
        source: with labels and a test split.
        layers: of the backbone; all by default.
        seed: draws the held-out labels and the random control's weights (Keras' global seed is set to it).
        num_values, pooling: see `Pooling`.
        solver, epochs: of the task `linear`, see `linear_probe`; with `sgd` the result's task is `linear-sgd`.
        norms: `frozen`, batch norm as at inference; or `adapt`, which puts `spot, adapted` first, and `random,
            adapted`, `spot` and `random` beside it.
        batch_size: images at a time.
        cache: keeps the scores of each extractor that is finished.
        on_progress: called with `(done, total, text)`; the unit is reading one image.

    Returns:
        the metrics of a result file that follow from the evaluation: `task`, `method`, `data`, `metric` (accuracy),
        `unit` (percent), `seed`, `pooling`, `norms`, those of `linear_probe`, and `rivals` with the same metrics of
        each control.

    Raises:
        UserError: an unknown task, a source without labels or test split, or what `linear_probe` raises.
    """
    fit = _fit(task, solver, epochs)
    if norms not in get_args(FinetuneNorms):
        raise UserError(f"--norms must be {' or '.join(get_args(FinetuneNorms))}; received: {norms}")
    require_labelled_test(source)
    pool = Pooling(num_values, pooling)
    names = None if layers is None else list(layers)
    controls = control_extractors(backbone, autoencoder, pool, seed)
    with decoded_once(source, batch_size) as (train_ds, test_ds):
        examples = Examples(train_ds, test_ds, seed)
        networks = _networks(backbone, controls["random"], norms, examples)
        work = WorkProgress(on_progress, len(networks) + 1, work_needed(examples))

        def scores(extract: Extractor, what: str, which: list[str] | None = None) -> dict[str, LayerScore]:
            work.begin(f"probing {what}")
            found = _cached(cache, what, lambda: fit(extract, which, examples, pool, work))
            work.end()
            return {name: LayerScore(*score) for name, score in found.items()}  # JSON made lists of them

        # `layers` name layers of the backbone; the other extractors have no more than two.
        found = {name: scores(network, name, names) for name, network in networks.items()}
        others = scores(controls["others"], "pixels" if autoencoder is None else "encoding, pixels")
    test_images = len(examples.test_classes)
    if solver == "sgd":
        task = "linear-sgd"  # not comparable with the ridge's, so it is kept beside it
    common = {"task": task, "data": source.name, "metric": "accuracy", "unit": "percent"}
    method, *controls_probed = found
    compared = {name: found[name] for name in controls_probed} | {name: {name: score} for name, score in others.items()}
    settings = {"seed": seed, "pooling": pooling, "norms": norms}
    return (
        {"method": method} | common | settings | examples.sizes | summary(found[method], test_images)
        | {"rivals": {name: {"method": name} | common | summary(probed, test_images)
                      for name, probed in compared.items()}}
    )  # fmt: skip


def control_extractors(
    backbone: Backbone, autoencoder: Autoencoder | None, pooling: Pooling, seed: int
) -> dict[str, Extractor]:
    """Return what the controls see of images.

    Args:
        backbone, autoencoder: of the spotter that the controls are set beside; None: no encoding.
        pooling: `pixels` are shrunk to about its number of values.
        seed: of the random weights; Keras' global seed is set to it.

    Returns:
        `random`: the backbone's architecture at random weights; `others`: a function of images (batch, height, width,
        3) in [-1, 1] to `encoding` (batch, h, w, channels) and `pixels` (batch, side, side, 3).
    """
    random: Extractor = untrained(backbone, seed)

    @tf.function(autograph=False, reduce_retracing=True)
    def others(images: tf.Tensor) -> dict[str, tf.Tensor]:
        side = pooling.grid(*images.shape[1:])
        pixels = {"pixels": tf.image.resize(images, (side, side), "area")}
        return pixels if autoencoder is None else {"encoding": autoencoder.encoder(images)} | pixels

    return {"random": random, "others": others}


def _networks(backbone: Backbone, random: Extractor, norms: FinetuneNorms, examples: Examples) -> dict[str, Extractor]:
    """Return learned and random weights by their names in a result, the one that it is about first."""
    networks: dict[str, Extractor] = {"spot": backbone, "random": random}
    if norms == "frozen":
        return networks
    photos = spread_photos(examples)
    both = {"spot, adapted": backbone, "random, adapted": cast(Backbone, random)}
    return {name: adapted(network, photos) for name, network in both.items()} | networks


def _cached(cache: ResultCache | None, name: str, compute: Callable[[], Any]) -> Any:
    return compute() if cache is None else cache(name, compute)


def _fit(task: str, solver: str | None, epochs: int | None) -> Fit:
    if task not in PROBES:
        raise UserError(f"unknown probe; allowed: {', '.join(PROBES)}; received: {task}")
    if task == "linear":
        return linear_fit(solver or "ridge", epochs)
    if solver or epochs:
        raise UserError(f"--solver and --epochs go with --task linear; received: --task {task}; leave them out")
    return fit_knn
