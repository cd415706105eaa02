"""The task `repair`: how well the damage is hidden, as judged by what had no part in the training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tf_spot.data import Source
from tf_spot.errors import UserError
from tf_spot.evaluation.probes.examples import require_readable
from tf_spot.evaluation.repair.critic import CRITICS, STEPS, critic_score, split
from tf_spot.evaluation.work_progress import WorkProgress
from tf_spot.image_quality.dropped_cells import PATCHES, brightness_shift, dropped_psnr, patch_distance
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.progress import Progress
from tf_spot.training.altered_photos import REPAIRED, UNREPAIRED, AlteredPhotos, alter, kinds_of

BATCH = 64  # photos at a time: PSNR and Laplacian share are means over these, and training mode takes their moments
FEWEST = 10  # photos: the critic needs some to train and some to be tested on
FIRST_STEP = 1_000  # whose cells are dropped first; the health signals drop those of the steps from 0


def measure_repair(
    spotter: ArtifactSpotter, source: Source, *, num_images: int, seed: int = 0, on_progress: Progress | None = None
) -> dict[str, Any]:
    """Measure how well the repair of a spotter hides the damage of test photos.

    Args:
        spotter: trained.
        source: with a test split; labels are not needed.
        num_images: test photos, at most, the first ones.
        seed: of critics and patches. The cells that are dropped are always the same.
        on_progress: called with (done, total, text).

    Returns:
        the metrics of a result file that follow from the measurement. `kinds` has, for `unrepaired` and, with a repair
        network, for `repaired` and `training mode`: `critic_auc`, the mean of `critic_aucs`, and its `critic_stderr`;
        in dropped cells `patch_distance`, `brightness_shift` in grey levels and `psnr` in dB, all against decoded
        images. `value` is the `critic_auc` of `repaired` or else of `unrepaired` images; `autoencoder` has `psnr` in dB
        and `laplacian_share`; `patch_noise` is the patch distance of decoded images to themselves.

    Raises:
        UserError: no cell is dropped, a GAN, no test split, or too few photos.
    """
    kinds = _checked(spotter, source, num_images)
    progress = WorkProgress(on_progress, rounds=1 + len(kinds))
    progress.begin("repairing test photos")
    photos = alter(spotter, _first(source, num_images), kinds, FIRST_STEP)
    progress.end()
    found = {}
    for kind in kinds:
        progress.begin(f"judging {kind}")
        found[kind] = _metrics(photos, kind, seed, progress.share_done)
        progress.end()
    noise = patch_distance(photos.decoded, photos.decoded, photos.dropped, seed)
    return _result(photos, found) | {"data": source.name, "seed": seed, "patch_noise": round(noise, 4), "rivals": {}}


def _result(photos: AlteredPhotos, kinds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    headline = REPAIRED if REPAIRED in kinds else UNREPAIRED
    count = len(photos.decoded)
    return {
        "task": "repair",
        "method": "spot",
        "metric": f"area under the ROC curve of fresh critics, {headline} images",
        "unit": "share of pairs in order",
        "value": kinds[headline]["critic_auc"],
        "stderr": kinds[headline]["critic_stderr"],
        "test_images": count,
        "critic": {
            "critics": CRITICS,
            "steps": STEPS,
            "train_images": split(count),
            "test_images": count - split(count),
        },
        "patches": PATCHES,
        "kinds": kinds,
        "autoencoder": {name: round(value, 3) for name, value in photos.copies._asdict().items()},
    }


def _checked(spotter: ArtifactSpotter, source: Source, num_images: int) -> tuple[str, ...]:
    """Return the kinds of images to measure."""
    kinds = kinds_of(spotter)
    if not kinds:
        raise UserError(
            "--task repair measures how well dropped cells are hidden, and this run drops none: game.repair=gan "
            "generates whole images, game.drop_rate=0 damages nothing; take another task, such as linear"
        )
    if num_images < FEWEST:
        raise UserError(f"--num-images must be {FEWEST} or more; received: {num_images}")
    if source.count("test") < FEWEST:
        raise UserError(
            f"--task repair needs {FEWEST} test photos or more; received {source.count('test')} from {source.spec}; "
            "give other photos with --data"
        )
    require_readable(source, "test", source.images("test", 1))
    return kinds


def _first(source: Source, count: int) -> tf.data.Dataset:
    return source.images("test", BATCH).unbatch().take(count).batch(BATCH)


def _metrics(photos: AlteredPhotos, kind: str, seed: int, on_share: Callable[[float], None]) -> dict[str, Any]:
    images, decoded, dropped = photos.altered[kind], photos.decoded, photos.dropped
    score = critic_score(decoded, images, seed, on_share)
    return {
        "critic_auc": round(score.auc, 4),
        "critic_stderr": round(score.stderr, 4),
        "critic_aucs": [round(found, 4) for found in score.aucs],
        "patch_distance": round(patch_distance(images, decoded, dropped, seed), 4),
        "brightness_shift": round(brightness_shift(images, decoded, dropped), 2),
        "psnr": round(dropped_psnr(images, decoded, dropped), 2),
    }
