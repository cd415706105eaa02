"""Time a whole training, both stages: python benchmarks/train_end_to_end.py --data SPEC --out RUN [--set FIELD=VALUE]

The network's step, the input pipeline, callbacks and checkpoints, as `tf-spot train` runs them. Prints one line of
JSON: for each stage the images per second of every epoch after the first, with all waiting inside it, and the seconds
of the whole.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tf_spot  # noqa: E402, I001  (sets the environment that TensorFlow reads when imported)
import keras  # noqa: E402

from tf_spot.config import preset  # noqa: E402


class EpochTimes(keras.callbacks.Callback):
    """Append the seconds of each epoch's steps to a list."""

    def __init__(self, seconds: list[float]) -> None:
        super().__init__()
        self.seconds, self.began = seconds, 0.0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.seconds.append(time.perf_counter() - self.began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="stl10")
    parser.add_argument("--autoencoder", type=Path, help="a run whose autoencoder is taken")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    config = preset(options.preset).override(options.set)
    seconds: dict[str, list[float]] = collections.defaultdict(list)
    began = time.perf_counter()
    tf_spot.train(
        config,
        options.data,
        options.out,
        autoencoder=options.autoencoder,
        callbacks=lambda stage: [EpochTimes(seconds[stage])],
    )
    images = config.training.batch_size * config.training.steps_per_epoch
    rates = {stage: [round(images / took, 2) for took in epochs[1:]] for stage, epochs in seconds.items()}
    print(json.dumps({"images_per_second": rates, "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()
