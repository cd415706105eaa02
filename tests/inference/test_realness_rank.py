"""The rank of an image among held-out photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tf_spot.config import preset
from tf_spot.data import load
from tf_spot.inference import realness_rank as ranking
from tf_spot.inference.realness_rank import RealnessRank, realness_rank
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json

SMALL = {"data.image_size": 16, "network.width": 0.125, "network.fc_units": 8, "training.batch_size": 4}
CONFIG = preset("tiny").replace(**SMALL, **{"data.held_out_share": 0.5})


@pytest.fixture(scope="module")
def spotter() -> ArtifactSpotter:
    return build_spotter(CONFIG, build_autoencoder(CONFIG))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos larger than twice the image size, so that reading shrinks them; half of them are held out."""
    folder, numbers = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(12):
        pixels = numbers.integers(0, 256, (9, 12, 3), np.uint8)
        Image.fromarray(pixels).resize((120, 90)).save(folder / f"{i:02d}.png")
    return folder


def run_on(folder: Path, spec: str, held_out_share: float = 0.5) -> Run:
    config = CONFIG.replace(**{"data.held_out_share": held_out_share})
    record = {"spec": spec, "name": "x", "fingerprint": "", "counts": {}}
    if Path(spec.partition(":")[2]).is_dir():
        record = load(spec, image_size=config.data.image_size, config=config.data).record()
    return Run.create(folder / "run", config, record)


def test_held_out_photos_have_the_scores_that_their_files_have(
    spotter: ArtifactSpotter, photos: Path, tmp_path: Path
) -> None:
    """Half of the twelve photos are held out; a batch of another size rounds differently."""
    rank = realness_rank(run_on(tmp_path, f"folder:{photos}"), spotter)
    assert isinstance(rank, RealnessRank)
    scores = np.array([rank.score(path) for path in photos.iterdir()])
    distances = np.abs(rank.scores[:, None] - scores).min(axis=1)
    assert len(rank.scores) == 6 and distances.max() < 1e-6


def test_the_rank_is_the_share_of_photos_that_look_more_repaired(spotter: ArtifactSpotter, photos: Path) -> None:
    rank = RealnessRank(spotter, np.float32([0, 1, 1, 1]))
    assert rank.more_real_than(photos / "00.png") == 0.75


def test_photos_are_taken_evenly_up_to_a_number(
    spotter: ArtifactSpotter, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "PHOTOS", 4)
    monkeypatch.setattr(ranking, "BATCH", 2)
    rank = realness_rank(run_on(tmp_path, f"folder:{photos}"), spotter)
    assert isinstance(rank, RealnessRank) and len(rank.scores) == 3, "every second of six"


def test_without_held_out_photos_the_reason_is_told(spotter: ArtifactSpotter, photos: Path, tmp_path: Path) -> None:
    none = realness_rank(run_on(tmp_path / "a", f"folder:{photos}", held_out_share=0.0), spotter)
    assert none == "this run held no photos out of its training"
    changed = run_on(tmp_path / "c", f"folder:{photos}")
    write_json(changed.path / "data.json", changed.data | {"fingerprint": "of fewer photos"})
    reason = realness_rank(changed, spotter)
    assert isinstance(reason, str) and "have changed since its training" in reason
    gone = realness_rank(run_on(tmp_path / "b", "folder:gone"), spotter)
    assert isinstance(gone, str) and gone.startswith("the photos of this run cannot be found from here: ")
