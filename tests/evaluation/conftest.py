"""What tests of evaluations share: a run and networks that have learned nothing, a folder of photos, a result."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from tests.support.evaluation_data import SIZE, Stripes, lights, untrained_run
from tf_spot.evaluation import evaluate_task
from tf_spot.evaluation.tasks import PROBES
from tf_spot.models.autoencoder import Autoencoder
from tf_spot.models.backbones import AlexNet
from tf_spot.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return untrained_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """60 photos to train on and 12 to test on, of three classes."""
    root = tmp_path_factory.mktemp("lights")
    for split, count in (("train", 60), ("test", 12)):
        for number, (photo, label) in enumerate(zip(*lights(count, count), strict=True)):
            (root / split / "rgb"[label]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo).save(root / split / "rgb"[label] / f"{number:02d}.png")
    return f"folder:{root}"


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    backbone = AlexNet(
        width=0.1, stem_kernel=5, stem_stride=1, trunk_norm="batch", norm_momentum=0.975, norm_epsilon=1e-3
    )
    return {"backbone": backbone, "autoencoder": Autoencoder(image_size=SIZE, width=0.25, levels=2)}


@pytest.fixture(scope="module", params=PROBES)
def result(request: pytest.FixtureRequest, networks: dict[str, Any]) -> dict[str, Any]:
    return evaluate_task(request.param, source=Stripes(), num_values=200, batch_size=16, **networks)
