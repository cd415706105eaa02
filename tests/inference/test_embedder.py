"""A model as a function from images to vectors: the full batch that runs first, its digest, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tf_spot.config import PAPER, Config
from tf_spot.errors import UserError
from tf_spot.features.pooling import averaged
from tf_spot.inference.embedder import Embedder, open_embedder
from tf_spot.runs.load import load_spotter
from tf_spot.runs.pretrained import load_pretrained
from tf_spot.runs.run import recipe_of


@pytest.mark.parametrize("ask", ["dim", "call"])
def test_a_full_batch_runs_first_and_only_once(ask: str) -> None:
    sizes: list[int] = []

    def vectors_of(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return images.mean(axis=(1, 2))

    embedder = Embedder(vectors_of, image_size=8, data=PAPER.data, digest="", batch_size=5)
    if ask == "dim":
        assert embedder.dim == 3 and sizes == [5]
        sizes.clear()
    images = np.ones((2, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(embedder(images), np.ones((2, 3)))
    embedder(images)
    assert embedder.dim == 3
    assert sizes == ([2, 2] if ask == "dim" else [5, 2, 2])


def test_a_run_is_its_backbones_average(config: Config, run: Path) -> None:
    embedder = open_embedder(run, "conv2", batch_size=4)
    assert (embedder.image_size, embedder.data, embedder.batch_size) == (16, config.data, 4)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)
    expected = averaged(load_spotter(run).backbone, "conv2")(images)
    np.testing.assert_array_equal(embedder(images), expected)
    assert expected.shape == (4, embedder.dim)


def test_the_digest_is_of_the_weights_in_their_order(run: Path) -> None:
    """Jobs that were stopped before an update go on only if it stays the same."""
    weights = load_spotter(run).backbone.weights
    content = b"".join(np.ascontiguousarray(weight.numpy()).tobytes() for weight in weights)
    assert open_embedder(run).digest == hashlib.sha256(content).hexdigest()


def test_other_layers_and_other_exported_parts_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--layer must be one of conv1, .*; received: conv9"):
        open_embedder(run, "conv9")
    with pytest.raises(UserError, match="a run folder holds config.json"):
        open_embedder(tmp_path)
    manifest = dict.fromkeys(("format", "quantization", "artifact"), "") | dict.fromkeys(("class_names", "config"))
    manifest |= {"parity": {}, "reference_parity": {}, "inputs": {"images": {"shape": [], "trained_size": 16}}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"part": "spotter"}))
    with pytest.raises(UserError, match="needs the exported part `features`"):
        open_embedder(tmp_path)


def test_a_pretrained_name_is_its_backbones_average_at_its_size() -> None:
    embedder = open_embedder("imagenette96-small", "conv3", batch_size=2)
    assert embedder.image_size == 64 and embedder.data == recipe_of("imagenette96-small").data
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    expected = averaged(load_pretrained("imagenette96-small"), "conv3")(images)
    np.testing.assert_array_equal(embedder(images), expected)
