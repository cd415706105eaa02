"""A trained model as one function from images to vectors, whether it is a run or was exported."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tf_spot.config import LAYERS, PAPER, Config, DataConfig
from tf_spot.errors import UserError
from tf_spot.evaluation.result_cache import weights_digest
from tf_spot.exporters import run_artifact
from tf_spot.exporters.manifest import artifact_path, check_sums, read_manifest
from tf_spot.features.pooling import averaged
from tf_spot.features.prefetch import one_at_a_time
from tf_spot.runs.load import load_backbone
from tf_spot.runs.run import recipe_of
from tf_spot.storage.files import file_digest

BATCH_SIZE = 64  # images at a time, unless told otherwise


class Embedder:
    """A function from images to vectors, with what is needed to make the images.

    A graph rounds differently at another batch size, and the backbone fills every batch up to the largest one so far.
    So a full batch of blank images always runs first: the vectors are then the same, bit for bit, whichever batch of a
    job is the first, such as after a stop.

    Args:
        vectors_of: images, float32 (batch, height, width, 3) in [-1, 1], to float32 (batch, dim).
        image_size: pixels, both sides of the images.
        data: how photos become images.
        digest: changes when the weights do.
        batch_size: images at a time, at most.

    Attributes:
        image_size, data, digest, batch_size: as given.

    Call arguments:
        images: float32 (batch, image_size, image_size, 3) in [-1, 1].

    Returns:
        float32 (batch, dim).
    """

    def __init__(
        self,
        vectors_of: Callable[[np.ndarray], np.ndarray],
        *,
        image_size: int,
        data: DataConfig,
        digest: str,
        batch_size: int,
    ) -> None:
        self._vectors_of = vectors_of
        self.image_size, self.data, self.digest, self.batch_size = image_size, data, digest, batch_size

    @functools.cached_property
    def dim(self) -> int:
        """Values of a vector. The first access runs the batch of blank images."""
        blank = np.zeros((self.batch_size, self.image_size, self.image_size, 3), np.float32)
        return int(self._vectors_of(blank).shape[1])

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return vectors, float32 (batch, dim)."""
        _ = self.dim  # the full batch first
        return self._vectors_of(images)


def open_embedder(path: str | Path, layer: str = "conv5", batch_size: int = BATCH_SIZE) -> Embedder:
    """Open a run, a backbone that comes with the package, or an exported one: the average of a layer over its map.

    Args:
        path: a run folder, a name of `load_pretrained`, or a folder that `tf-spot export` wrote.
        layer: `conv1` to `conv5`.
        batch_size: images at a time.

    Raises:
        UserError: no trained spotter at `path`, or an unknown layer.
    """
    if layer not in LAYERS:
        raise UserError(f"--layer must be one of {', '.join(LAYERS)}; received: {layer}")
    if (Path(path) / "manifest.json").is_file():
        return _open_artifact(Path(path), layer, batch_size)
    config = recipe_of(path).data  # refuses a lone model file, which does not say how photos become images
    backbone = load_backbone(path).backbone
    return Embedder(
        averaged(backbone, layer),
        image_size=config.image_size,
        data=config,
        digest=weights_digest(backbone),
        batch_size=batch_size,
    )


def _open_artifact(folder: Path, layer: str, batch_size: int) -> Embedder:
    """Open an exported model, to be run by its own runtime."""
    manifest = read_manifest(folder)
    if manifest["part"] != "features":
        raise UserError(f"embed needs the exported part `features`; received: {folder}, {manifest['part']}")
    check_sums(folder)
    model = _open_runtime(manifest["format"], str(artifact_path(folder, manifest)))

    def vectors_of(images: np.ndarray) -> np.ndarray:
        outputs = model(np.asarray((images + 1) * 127.5, np.float32))  # artifacts take [0, 255]
        # `embedding` is conv5 averaged inside the graph; other layers come as maps (batch, h, w, channels).
        return outputs["embedding"] if layer == "conv5" else outputs[layer].mean((1, 2))

    images = manifest["inputs"]["images"]
    return Embedder(
        one_at_a_time(vectors_of),
        image_size=images["shape"][1] or images["trained_size"],  # None: it takes any size
        data=Config.from_dict(manifest["config"]).data if manifest["config"] else PAPER.data,
        digest=file_digest(folder / "SHA256SUMS"),  # it lists the digests of all files
        batch_size=batch_size,
    )


def _open_runtime(kind: str, artifact: str) -> run_artifact.Artifact:
    """Load an artifact of a format.

    Raises:
        UserError: the format's runtime is not installed.
    """
    try:
        if kind == "saved_model":
            return run_artifact.open_saved_model(artifact)[0]
        if kind == "tflite":
            return run_artifact.open_tflite(artifact, threads=os.cpu_count())
        return run_artifact.open_onnx(artifact)
    except ImportError as error:
        extra = {"tflite": "litert", "onnx": "onnx"}[kind]
        raise UserError(f"{kind} needs {error.name}, which is missing; run pip install tf-spot[{extra}]") from error
