"""STL-10's own protocol: ten folds of few labels, each tested on the whole test set.

Source: https://cs.stanford.edu/~acoates/stl10; paper, Table 2. The published code trains on other parts of the labels
(4,000 a fold in one place, all 5,000 in another), so which ones the paper's figures used is not known; here the
official ones.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy import linalg
from threadpoolctl import threadpool_limits

from tf_spot.config import LAYERS
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.errors import UserError
from tf_spot.evaluation.beside_controls import require_labelled_test
from tf_spot.evaluation.finetune import Recipe, Stretch, Tell, fit_classifier, share_right, untrained
from tf_spot.evaluation.probes.examples import HELD_OUT_EVERY
from tf_spot.evaluation.probes.ridge import Classifier
from tf_spot.evaluation.result_cache import Parts
from tf_spot.features.pooling import Pooling, pooled
from tf_spot.progress import Progress

FOLDS = 10
BATCH = 256  # photos at a time
NUM_VALUES = 9_216  # all of conv5 at the paper's size: 6 x 6 x 256
STRENGTHS = tuple(10.0**power for power in range(-4, 5))  # shares of the Gram matrix's mean diagonal
OFFICIAL = {  # MD5 of the files in the official archive
    "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
    "train_y.bin": "5a34089d4802c674881badbb80307741",
    "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
    "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
}


def stl10(
    backbone: keras.Model,
    source: Any,
    recipe: Recipe,
    parts: Parts,
    *,
    layers: Sequence[str] | None = None,
    finetuned: bool = True,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Every fold: a linear classifier on each frozen layer and, if wished, the whole network trained from the backbone.

    The linear classifier is a ridge regression, its strength chosen on a fifth of the fold's labels; conv5 is flattened
    whole where it has no more values than in the paper, the other layers are averaged down to about as many.

    Args:
        backbone: a spotter's.
        source: with folds, see `check_folds`.
        recipe: of the finetuned networks.
        parts: keeps the result of the frozen layers and of each finetuned fold.
        layers: frozen ones to classify on; all five by default.
        finetuned: also train the network, from the backbone and from random weights.
        seed: of everything drawn.
        on_progress: told (done, total, text).

    Returns:
        the figures of a result file: by layer (and `finetuned`) the mean over the folds in percent, `by_layer`, the
        sample deviation, `deviation`, and each fold's figure, `folds`.

    Raises:
        UserError: folds that do not fit, an unknown layer.
    """
    require_labelled_test(source)
    folds = check_folds(source.folds())
    chosen = list(LAYERS if layers is None else layers)
    if unknown := set(chosen) - set(LAYERS):
        raise UserError(f"unknown layer; allowed: {', '.join(LAYERS)}; received: {', '.join(sorted(unknown))}")
    stretch = Stretch(on_progress, 2 * (1 + (len(folds) if finetuned else 0)))
    found: dict[str, dict[str, list[float]]] = {"spot": {}, "random": {}}
    for method, shares in found.items():
        start = backbone if method == "spot" else untrained(backbone, seed)
        tell = stretch.begin(f"frozen layers of {method}")
        shares.update(parts(f"{method}-frozen", functools.partial(_frozen, start, source, folds, chosen, seed, tell)))
        stretch.end()
        if finetuned:
            shares["finetuned"] = _finetuned(start, source, folds, recipe, seed, parts, method, stretch)
    counts = {"train_images": len(folds[0]), "test_images": source.count("test")}
    figures = {method: _figures(method, source, shares) | counts for method, shares in found.items()}
    recorded = {"seed": seed, "recipe": asdict(recipe) if finetuned else None}
    return figures["spot"] | recorded | {"rivals": {"random": figures["random"]}}


def check_folds(folds: list[np.ndarray]) -> list[np.ndarray]:
    """Ten, all of one size, as in the official file; that they fit the photos is checked when they are read.

    Raises:
        UserError: they are not.
    """
    sizes = sorted({len(fold) for fold in folds})
    if len(folds) != FOLDS or len(sizes) != 1:
        raise UserError(
            f"fold_indices.txt must hold {FOLDS} folds of one size; received: {len(folds)} folds of "
            f"{' to '.join(str(size) for size in {sizes[0]: 0, sizes[-1]: 0})}; is the download complete?"
        )
    return folds


def _frozen(
    backbone: Any, source: Any, folds: list[np.ndarray], layers: list[str], seed: int, progress: Tell
) -> dict[str, list[float]]:
    """By layer, the share of the test set that each fold's classifier gets right.

    The features lie in files, so that memory does not grow with the number of layers.
    """
    vectors_of, done = pooled(backbone, Pooling(NUM_VALUES, "average"), layers), 0
    counts = {split: source.count(split) for split in ("train", "test")}
    with tempfile.TemporaryDirectory(prefix="tf_spot-stl10-") as folder:
        features: dict[tuple[str, str], np.ndarray] = {}
        classes = {split: np.zeros(count, np.int64) for split, count in counts.items()}
        for split, count in counts.items():
            start = 0
            for images, labels in source.labelled(split, BATCH):
                rows = slice(start, start + len(labels))
                for layer, values in vectors_of(images).items():
                    if (split, layer) not in features:
                        file = Path(folder) / f"{split}-{layer}.f32"
                        features[split, layer] = np.memmap(file, np.float32, "w+", shape=(count, values.shape[1]))
                    features[split, layer][rows] = values
                classes[split][rows] = labels
                start, done = rows.stop, done + len(labels)
                progress(0.5 * done / sum(counts.values()))
            _every_photo(source, split, start)
        shares: dict[str, list[float]] = {layer: [] for layer in layers}
        for layer, number in itertools.product(layers, range(len(folds))):
            fold = folds[number]
            with threadpool_limits(1):  # several threads wait for each other where another program has a core
                classifier = few_labels(features["train", layer][fold], classes["train"][fold], seed)
                right = classifier.correct(features["test", layer], classes["test"])
            shares[layer].append(right / counts["test"])
            progress(0.5 + 0.5 * sum(map(len, shares.values())) / (len(layers) * len(folds)))
    return shares


def few_labels(features: np.ndarray, classes: np.ndarray, seed: int = 0) -> Classifier:
    """The ridge regression of `linear.RidgeSums`, solved over the examples: fast where they are fewer than the values.

    Args:
        features: float32 (examples, values).
        classes: (examples,), 0, 1, ...
        seed: draws the fifth of the examples that chooses the strength.
    """
    num_classes = int(classes.max()) + 1
    held_out = np.zeros(len(classes), bool)
    held_out[np.random.default_rng(seed).permutation(len(classes))[::HELD_OUT_EVERY]] = True
    fits = ridge_over_examples(features[~held_out], classes[~held_out], num_classes, STRENGTHS)
    right = [fit.correct(features[held_out], classes[held_out]) for fit in fits]
    best = max(range(len(STRENGTHS)), key=lambda number: (right[number], number))  # of equals the largest
    return ridge_over_examples(features, classes, num_classes, STRENGTHS[best : best + 1])[0]


def ridge_over_examples(
    features: np.ndarray, classes: np.ndarray, num_classes: int, strengths: Sequence[float]
) -> list[Classifier]:
    """One classifier a strength: weights = X' (X X' + strength * examples)^-1 Y, with X standardised and Y +1 or -1."""
    count = len(features)
    mean, deviation = features.mean(axis=0), features.std(axis=0)  # float32
    varies = deviation > 1e-3 * np.sqrt(deviation**2 + mean**2)  # what is left is rounding, as in `linear`
    scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0).astype(np.float32)
    x = (features - mean) * scale
    y = 2 * np.eye(num_classes)[classes] - 1
    bias = y.mean(axis=0)
    values, vectors = linalg.eigh((x @ x.T).astype(np.float64))
    values = np.maximum(values, 0)  # but for rounding
    turned = vectors.T @ (y - bias)
    return [
        Classifier(
            mean,
            scale[:, None] * (x.T @ (vectors @ (turned / (values + strength * count)[:, None])).astype(np.float32)),
            bias.astype(np.float32),
        )
        for strength in strengths
    ]


def _finetuned(
    backbone: Any,
    source: Any,
    folds: list[np.ndarray],
    recipe: Recipe,
    seed: int,
    parts: Parts,
    method: str,
    stretch: Stretch,
) -> list[float]:
    """Share of the test set that the network of each fold gets right."""
    kept: dict[str, Any] = {}  # made when a fold is not finished yet

    def work(number: int) -> float:
        if not kept:
            kept["photos"] = LabelledPhotos.of(source)
            _every_photo(source, "train", len(kept["photos"]))
        kept["again"], _ = fit_classifier(
            backbone,
            kept["photos"],
            source.class_names,
            recipe,
            places=folds[number],
            again=kept.get("again"),
            seed=seed + number,
            tell=stretch.begin(f"finetuning from {method}, fold {number + 1}"),
        )
        return share_right(kept["again"], source.labelled("test", BATCH))[0]

    shares = []
    for number in range(len(folds)):
        shares.append(parts(f"{method}-finetuned-{number}", lambda number=number: work(number)))  # type: ignore[misc]
        stretch.end()
    return shares


def _every_photo(source: Any, split: str, count: int) -> None:
    if count != source.count(split):
        raise UserError(
            f"the protocol counts every photo; received: {source.count(split) - count} of {split} that cannot be read, "
            f"the first is {source.bad_files[0]}"
        )


def _figures(method: str, source: Any, shares: dict[str, list[float]]) -> dict[str, Any]:
    percent = {name: [round(100 * share, 2) for share in values] for name, values in shares.items()}
    by_layer = {name: round(float(np.mean(values)), 2) for name, values in percent.items()}
    deviation = {name: round(float(np.std(values, ddof=1)), 2) for name, values in percent.items()}
    best = max(by_layer, key=lambda name: by_layer[name])
    return {
        "task": "stl10", "method": method, "data": source.name, "metric": "accuracy", "unit": "percent",
        "value": by_layer[best], "best_layer": best, "by_layer": by_layer, "deviation": deviation, "folds": percent,
        "stderr": round(deviation[best] / np.sqrt(FOLDS), 2),
    }  # fmt: skip


# --- which files ------------------------------------------------------------------------------------------------------


def local_spec(spec: str) -> str:
    """`tfds:stl10` as the spec of the binaries that tensorflow-datasets unpacked when it made the set; others as given.

    Its own records are in another order, which the official folds do not fit.

    Raises:
        UserError: they are not there any more.
    """
    if spec.partition("/")[0] != "tfds:stl10":
        return spec
    root = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    found = sorted((root / "downloads" / "extracted").glob("*/stl10_binary"))
    if not found:
        raise UserError(
            "the folds of STL-10 count photos in the order of the official files, tensorflow-datasets keeps them in "
            f"another; received: tfds:stl10 without its unpacked archive in {root / 'downloads' / 'extracted'}; "
            "unpack stl10_binary.tar.gz and give stl10:PATH"
        )
    return f"stl10:{found[0]}"


def official_files(spec: str) -> dict[str, bool]:
    """Which files in the folder of `stl10:PATH` are those of the official archive, by their MD5."""
    root = Path(spec.partition(":")[2]).expanduser()
    root = root / "stl10_binary" if (root / "stl10_binary").is_dir() else root
    same = {}
    for name, expected in OFFICIAL.items():
        with open(root / name, "rb") as file:
            same[name] = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == expected
    return same
