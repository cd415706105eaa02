"""The program of each of two worker processes: python tests/support/two_workers.py PHOTOS OUT, with TF_CONFIG.

They exchange numbers, train both stages into OUT/run and evaluate; worker W writes OUT/W.json and OUT/W.npz.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "studies")]

import numpy as np  # noqa: E402
import replicas  # noqa: E402
import tensorflow as tf  # noqa: E402

from tf_spot.data import load  # noqa: E402
from tf_spot.distributed.strategies import (  # noqa: E402
    agree,
    is_chief,
    leave,
    make_strategy,
    num_workers,
    of_all_workers,
    share_rows,
    training_stream,
)
from tf_spot.errors import UserError  # noqa: E402
from tf_spot.evaluation import linear_probe  # noqa: E402
from tf_spot.inference.embed import embed  # noqa: E402
from tf_spot.runs.load import load_spotter  # noqa: E402
from tf_spot.training.train import train  # noqa: E402

SHORT = (
    "training.autoencoder_steps=2", "training.spotter_steps=2", "training.steps_per_epoch=2",
    "training.checkpoint_steps=2", "training.deterministic=false",
)  # fmt: skip


class Numbers:
    """A source of images of one pixel that hold their own index."""

    def unlabelled(
        self,
        batch_size: int,
        *,
        seed: int,
        first_step: int,
        share: tuple[int, int] = (0, 1),
        images_before: int | None = None,
    ) -> tf.data.Dataset:
        numbers = tf.data.Dataset.counter(first_step * batch_size).map(lambda i: tf.cast(i, tf.float32))
        batches = numbers.map(lambda i: tf.fill((1, 1, 3), i)).batch(batch_size, drop_remainder=True)
        return batches.map(lambda images: tf.split(images, share[1])[share[0]])


def settle(strategy: tf.distribute.Strategy) -> dict[str, Any]:
    """Return who takes part, which rows this worker reads, and the error for numbers that differ."""
    worker = strategy.cluster_resolver.task_id
    rows = next(iter(training_stream(strategy, Numbers(), 6, seed=0, first_step=2)))
    seen = {
        "chief": is_chief(strategy),
        "workers": num_workers(strategy),
        "replicas": strategy.num_replicas_in_sync,
        "of_all": of_all_workers(strategy, 10 + worker),
        "rows": strategy.experimental_local_results(rows)[0][:, 0, 0, 0].numpy().tolist(),
    }
    try:
        agree(strategy, worker, "number")
    except UserError as error:
        seen["refused"] = str(error)
    return seen


def evaluate(run: Path, photos: Path, out: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a probe's result and maps of five photos, which two replicas cannot share equally; embed into `out`."""
    source = load(f"folder:{photos}", image_size=16)
    backbone = load_spotter(run).backbone
    maps = share_rows(backbone)(next(iter(source.images("train", 5))))
    labelled = source.labelled("train", 7)
    embed(run, f"folder:{photos}", out, batch_size=4, chunk=8)
    return linear_probe(backbone, labelled, labelled, num_values=64), {k: np.asarray(v) for k, v in maps.items()}


def main(photos: Path, out: Path) -> None:
    strategy = make_strategy("multiworker", 100)
    worker = strategy.cluster_resolver.task_id
    seen = settle(strategy)
    train(replicas.config(*SHORT), f"folder:{photos}", out / "run", strategy=strategy)
    with strategy.scope():
        seen["probe"], maps = evaluate(out / "run", photos, out / "rows.npz")
    np.savez(out / f"{worker}.npz", **maps)
    (out / f"{worker}.json").write_text(json.dumps(seen))
    leave(strategy)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
