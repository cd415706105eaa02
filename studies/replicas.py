"""Compare ten steps of both stages on one device, on two devices and on two workers: python studies/replicas.py

Writes results/replicas.json. Each training is a process of its own, two of them for the two workers. The photos are
generated; networks are tiny. Damage, dropout, history buffer and augmentation are on.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from tf_spot.config import Config

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SETTINGS = (
    "data.image_size=16", "data.held_out_share=0.2", "network.width=0.125", "network.fc_units=16",
    "game.history_batches=2", "training.batch_size=4", "training.autoencoder_steps=10", "training.spotter_steps=10",
    "training.steps_per_epoch=5", "training.checkpoint_steps=10",
    # Adam divides a gradient by its size: one that is all rounding would move a weight by the whole learning rate.
    "training.adam_epsilon=0.01",
    # At the preset's own rates ten steps with four photos are chaotic, on one device too.
    "training.autoencoder_learning_rate=0.002", "training.discriminator_learning_rate=0.0003",
    "training.repair_learning_rate=0.0003",
)  # fmt: skip
KINDS = ("weights", "moments", "history")


def make_photos(folder: Path, count: int = 30) -> Path:
    """Write blurred noise in two classes, each photo unlike the others, and return the folder."""
    import numpy as np
    from PIL import Image

    numbers = np.random.default_rng(0)
    for i in range(count):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        small = numbers.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(small).resize((24, 24)).save(folder / "ab"[i % 2] / f"{i:02d}.png")
    return folder


def config(*changes: str) -> Config:
    """Return the recipe of the comparison with changes, such as `training.spotter_steps=2`."""
    from tf_spot.config import preset

    return preset("tiny").override([*SETTINGS, *changes])


def run_here(strategy_name: str, photos: Path, out: Path) -> None:
    """Train in this process and extract features under the strategy, into OUT/run and OUT/features-WORKER.npy."""
    import tensorflow as tf

    if strategy_name == "mirrored":
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    from tf_spot.distributed.strategies import make_strategy

    train_and_extract(make_strategy(strategy_name, 120), config(), photos, out)


def train_and_extract(strategy: tf.distribute.Strategy, recipe: Config, photos: Path, out: Path) -> None:
    """Train and extract features, see `run_here`."""
    import numpy as np

    from tf_spot.data import load
    from tf_spot.runs.load import load_spotter
    from tf_spot.training.health import pooled_features
    from tf_spot.training.train import train

    train(recipe, f"folder:{photos}", out / "run", strategy=strategy)
    source = load(f"folder:{photos}", image_size=16, config=recipe.data)
    with strategy.scope():
        features, _ = pooled_features(load_spotter(out / "run"), source.labelled("train", 7))
    resolver = strategy.cluster_resolver
    np.save(out / f"features-{resolver.task_id if resolver else 0}.npy", features)


def start_workers(command: Sequence[str], count: int = 2, cluster: Sequence[str] = ()) -> list[subprocess.Popen[str]]:
    """Start `command` once per worker on this machine; stderr of each is a pipe."""
    cluster = list(cluster) or free_addresses(count)
    return [
        subprocess.Popen(
            [sys.executable, *command], env=environment(cluster, index), stderr=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL,
        )
        for index in range(count)
    ]  # fmt: skip


def environment(cluster: Sequence[str], index: int) -> dict[str, str]:
    """Return the environment in which worker `index` finds the others."""
    tf_config = {"cluster": {"worker": list(cluster)}, "task": {"type": "worker", "index": index}}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    return os.environ | quiet | {"TF_CONFIG": json.dumps(tf_config), "PYTHONPATH": str(ROOT)}


def free_addresses(count: int) -> list[str]:
    """Return addresses of this machine whose ports are free."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


def arrays(run: Path, stage: str) -> dict[str, np.ndarray]:
    """Return every array of a stage's last checkpoint by its name in the file, as float64."""
    import h5py

    found: dict[str, np.ndarray] = {}

    def take(name: str, entry: h5py.Group | h5py.Dataset) -> None:
        if isinstance(entry, h5py.Dataset):
            found[name] = entry[()].astype("float64")

    with h5py.File(sorted(run.glob(f"checkpoints/{stage}/step-*"))[-1] / "model.weights.h5") as file:
        file.visititems(take)
    return found


def kind(name: str) -> str:
    """Return the one of `KINDS` that an array belongs to."""
    if "optimizer" in name:
        return "moments"
    return "history" if "/history/" in name else "weights"


def differences(one: Path, other: Path) -> dict[str, Any]:
    """Return `run_differences`, and as `features` the largest difference of the extracted features."""
    import numpy as np

    features = [np.load(folder / "features-0.npy") for folder in (one, other)]
    apart = float(np.abs(features[0] - features[1]).max())
    return run_differences(one / "run", other / "run") | {"features": apart}


def run_differences(one: Path, other: Path) -> dict[str, Any]:
    """Return the largest differences by stage and kind, and of the losses: absolute below 1, relative above."""
    import numpy as np

    from tf_spot.runs.run import STAGES, Run

    result: dict[str, Any] = {}
    for stage in STAGES:
        ours, theirs = arrays(one, stage), arrays(other, stage)
        if ours.keys() != theirs.keys():
            raise RuntimeError(f"{one} and {other} have trained different networks")
        result[stage] = dict.fromkeys(KINDS, 0.0)
        for name, array in ours.items():
            apart = np.abs(array - theirs[name]) / np.maximum(1, np.abs(array))
            result[stage][kind(name)] = max(result[stage][kind(name)], float(apart.max(initial=0)))
    pairs = zip(Run(one).metrics(), Run(other).metrics(), strict=True)
    result["losses"] = max(
        abs(a[name] - b[name]) / max(1, abs(a[name])) for a, b in pairs for name in a if name.endswith("_loss")
    )
    return result


def main() -> None:
    from tf_spot.storage.files import write_json
    from tf_spot.storage.provenance import provenance

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        photos = make_photos(home / "photos")
        outs = {name: home / name for name in ("none", "mirrored", "multiworker")}
        started = []
        for name, out in outs.items():
            out.mkdir()
            started += start_workers([__file__, name, str(photos), str(out)], 2 if name == "multiworker" else 1)
        for process in started:
            _, err = process.communicate()
            if process.returncode:
                raise RuntimeError(err)
        table = {f"{name} against none": differences(outs["none"], outs[name]) for name in ("mirrored", "multiworker")}
        table["multiworker against mirrored"] = differences(outs["mirrored"], outs["multiworker"])
    result = {
        "task": "replicas", "settings": list(SETTINGS),
        "largest_differences": table,
    }  # fmt: skip
    write_json(ROOT / "results" / "replicas.json", result | provenance("python studies/replicas.py"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_here(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
