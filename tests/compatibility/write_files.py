"""Write the files that `test_compatibility.py` opens: python tests/compatibility/write_files.py DIR

The committed ones were written at commit c342356, before the package had folders. Write new ones only into another
folder: the point of the old ones is that they stay as they are.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import tf_spot
from tf_spot import cli

TINY = (
    "data.image_size=16", "network.width=0.01", "network.fc_units=16", "game.history_batches=2",
    "training.batch_size=4", "training.autoencoder_steps=4", "training.spotter_steps=4", "training.steps_per_epoch=2",
    "training.checkpoint_steps=2", "training.keep_checkpoints=2", "training.picture_epochs=2",
    "training.probe_epochs=2",
)  # fmt: skip
RESNET = (
    "data.image_size=32", "network.backbone=resnet18", "network.stem_stride=4", "game.history_batches=0",
    "training.autoencoder_steps=1", "training.spotter_steps=1",
)  # fmt: skip


class Stopped(Exception):
    """Breaks off `embed` where a user would."""


def write_photos(folder: Path) -> None:
    """Forty photos to train on and ten to test on, in two classes: smooth noise, 20 pixels a side."""
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 10)):
        for number in range(count):
            label = "ab"[number % 2]
            small = random.integers(0, 256, (5, 5, 3), np.uint8)
            path = folder / split / label / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(small).resize((20, 20), Image.Resampling.BICUBIC).save(path)


def call(*words: str) -> None:
    if cli.main(words):
        raise SystemExit(f"tf-spot {' '.join(words)} failed")


def stop_embedding(run: Path, pack: Path, out: Path) -> None:
    """Leave the job as it is after the first of three chunks."""

    def stop(done: int, total: int, text: str) -> None:
        raise Stopped

    try:
        tf_spot.embed(run, f"shards:{pack}", out, layer="conv4", batch_size=4, chunk=20, on_progress=stop)
    except Stopped:
        return
    raise SystemExit("embed was not stopped")


def main(target: Path) -> None:
    target.mkdir(parents=True)
    run, resnet, pack = target / "run", target / "resnet18", target / "pack"
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder))
        call("pack", "--data", f"folder:{folder}", "--out", str(pack))
    photos = ("--data", f"shards:{pack}", "--strategy", "none")
    changes = [word for change in TINY for word in ("--set", change)]
    call("train", *photos, "--preset", "tiny", "--out", str(run), *changes)
    call("train", *photos, "--preset", "tiny", "--out", str(resnet),
         *changes, *(word for change in RESNET for word in ("--set", change)))  # fmt: skip
    call("evaluate", str(run), *photos, "--task", "finetune", "--epochs", "1")
    call("evaluate", str(run), *photos, "--task", "linear", "--num-values", "16")
    for kind in ("saved_model", "tflite", "onnx"):
        call("export", str(run), "--format", kind, "--out", str(target / "exports" / kind))
    stop_embedding(run, pack, target / "embedding.npz")
    for folder in (run, resnet):  # to look at, and large
        shutil.rmtree(folder / "tensorboard")
        shutil.rmtree(folder / "pictures", ignore_errors=True)
    shutil.rmtree(resnet / "checkpoints")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
