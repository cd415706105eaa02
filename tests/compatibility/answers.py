"""What is computed from old files, by the package's public face: python tests/compatibility/answers.py FILES OUT.npz"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tf_spot
from tf_spot import cli

Answers = dict[str, np.ndarray]


def images(side: int) -> np.ndarray:
    """(4, side, side, 3) in [-1, 1], always the same."""
    return np.random.default_rng(1).uniform(-1, 1, (4, side, side, 3)).astype(np.float32)


def spotted(run: Path, side: int) -> Answers:
    """The discriminator's logits and last map, and the autoencoder's copy."""
    spotter = tf_spot.load_spotter(run)
    answers = spotter(images(side))
    found = {name: np.asarray(answers[name]) for name in ("conv5", "realness_logits", "mask_logits")}
    return found | {"decoded": np.asarray(spotter.autoencoder(images(side)))}


def finished_run(files: Path, folder: Path) -> Answers:
    return spotted(files / "run", 16)


def resnet18(files: Path, folder: Path) -> Answers:
    return spotted(files / "resnet18", 32)


def classifier(files: Path, folder: Path) -> Answers:
    return {"logits": np.asarray(tf_spot.load_classifier(files / "run")(images(16)))}


def checkpoint(files: Path, folder: Path) -> Answers:
    """Stage 2 from its newest checkpoint, as of a run that was stopped."""
    return spotted(stopped_run(files, folder), 16)


def resumed_spotter(files: Path, folder: Path) -> Answers:
    """The run, stopped after step 2 of 4 of stage 2, with its optimizers and its history, trained to its end."""
    return resumed(files, stopped_run(files, folder))


def resumed_autoencoder(files: Path, folder: Path) -> Answers:
    """The run, stopped after step 2 of 4 of stage 1, trained to its end.

    Its autoencoder alone: stage 2 had not begun, and begins with the initial weights of today.
    """
    run = stopped_run(files, folder)
    (run / "autoencoder.keras").unlink()
    shutil.rmtree(run / "checkpoints" / "spotter")
    return {"decoded": resumed(files, run)["decoded"]}


def resumed(files: Path, run: Path) -> Answers:
    words = ["train", "--data", f"shards:{files / 'pack'}", "--out", str(run), "--resume", "--strategy", "none"]
    if cli.main(words):
        raise RuntimeError(f"tf-spot {' '.join(words)} failed")
    return spotted(run, 16)


def stopped_run(files: Path, folder: Path) -> Path:
    """A copy without the finished spotter."""
    run = folder / "run"
    shutil.copytree(files / "run", run)
    (run / "spotter.keras").unlink()
    return run


def exports(files: Path, folder: Path) -> Answers:
    """Each verifies itself by its own runtime; `embed` then asks it."""
    found = {}
    for kind in ("saved_model", "tflite", "onnx"):
        if cli.main(["verify", str(files / "exports" / kind)]):
            raise RuntimeError(f"{kind} does not verify")
        out = folder / f"{kind}.npz"
        tf_spot.embed(files / "exports" / kind, f"shards:{files / 'pack'}", out, split="test")
        with np.load(out) as columns:
            found[kind] = columns["embedding"]
    return found


def pack(files: Path, folder: Path) -> Answers:
    source = tf_spot.load(f"shards:{files / 'pack'}", image_size=16)
    read, labels = next(iter(source.labelled("test", 64)))
    return {"images": np.asarray(read), "labels": np.asarray(labels)}


def unfinished_embedding(files: Path, folder: Path) -> Answers:
    """Goes on with the two chunks that are missing, and keeps the one that is there."""
    shutil.copytree(files / ".embedding.npz.parts", folder / ".embedding.npz.parts")
    kept = folder / ".embedding.npz.parts" / "train-000000.npz"
    written = kept.stat().st_mtime_ns
    seen = []

    def on_progress(done: int, total: int, text: str) -> None:
        seen.append(kept.stat().st_mtime_ns == written)

    tf_spot.embed(
        files / "run", f"shards:{files / 'pack'}", folder / "embedding.npz", layer="conv4", batch_size=4, chunk=20,
        resume=True, on_progress=on_progress,
    )  # fmt: skip
    with np.load(folder / "embedding.npz") as columns:
        found = {name: columns[name] for name in columns.files}
    return found | {"kept": np.array(seen)}


def report(files: Path, folder: Path) -> Answers:
    """The page of the old run, with its results, and the sections it has."""
    shutil.copytree(files / "run", folder / "run")
    if cli.main(["report", str(folder / "run")]):
        raise RuntimeError("no report")
    results = sorted((folder / "run" / "results").glob("*.json"))
    values = [json.loads(path.read_text(encoding="utf-8"))["value"] for path in results]
    page = (folder / "run" / "report.html").read_text(encoding="utf-8")
    return {"values": np.array(values), "sections": np.array(page.count("<section"))}


ANSWERS: dict[str, Callable[[Path, Path], Answers]] = {
    function.__name__: function
    for function in (
        finished_run, resnet18, classifier, checkpoint, resumed_spotter, resumed_autoencoder, exports, pack,
        unfinished_embedding, report,
    )
}  # fmt: skip


def main(files: Path, out: Path) -> None:
    found = {}
    for name, function in ANSWERS.items():
        with tempfile.TemporaryDirectory() as folder:
            found |= {f"{name}/{key}": value for key, value in function(files, Path(folder)).items()}
    np.savez_compressed(out, **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
