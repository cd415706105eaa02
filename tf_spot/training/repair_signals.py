"""Signals of whether the repair hides the damage, measured on held-out photos, and their warnings in words.

The cheap part of `tf-spot evaluate --task repair`: no critic is trained.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_spot.data.source import Source
from tf_spot.image_quality.copies import CopyQuality
from tf_spot.image_quality.dropped_cells import brightness_shift, patch_distance
from tf_spot.models.spotter import ArtifactSpotter
from tf_spot.training.altered_photos import REPAIRED, TRAINING_MODE, UNREPAIRED, alter, kinds_of
from tf_spot.training.position import Position

BLUR = 24.0  # dB (ours)
EARLY_EPOCHS = 2  # of stage 2, in which a repair network may still do harm
_BATCH = 64  # photos at a time

log = logging.getLogger("tf_spot")


class RepairSignals(keras.callbacks.Callback):
    """Stage 2: add signals of the repair to the logs of every `probe_every`-th epoch, and warn in words.

    They are those of `repair_signals`. Each warning is logged once: of a blur when the stage begins, of a repair that
    does harm when it is first measured.

    Args:
        position: of the stage.
        source: gives its held-out training photos, never its test split.
        probe_every: epochs between two measurements.
    """

    def __init__(self, position: Position, source: Source, probe_every: int) -> None:
        super().__init__()
        self.position, self.probe_every = position, probe_every
        self.held_out = source.held_out(_BATCH)
        self._warned: set[str] = set()

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Measure the frozen autoencoder before the first step; a stage may begin `fit` several times."""
        if "blur" not in self._warned:
            self._warn("blur", blur_warning(alter(self.model, self.held_out, ()).copies.psnr))
            self._warned.add("blur")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is None or not self.position.every(self.probe_every):
            return
        signals = repair_signals(self.model, self.held_out)
        logs |= signals
        self._warn("repair", repair_warning(signals, self.position.epoch))

    def _warn(self, name: str, text: str | None) -> None:
        if text is not None and name not in self._warned:
            self._warned.add(name)
            log.warning("%s", text)


def copy_signals(copies: CopyQuality) -> dict[str, float]:
    """Return the quality of the autoencoder's copies under the names of signals."""
    return {f"held_out_{name}": value for name, value in copies._asdict().items()}


def repair_signals(spotter: ArtifactSpotter, held_out: Iterable[tf.Tensor]) -> dict[str, float]:
    """Measure the autoencoder and the repair network on held-out photos, at inference.

    The damage of each batch is drawn by its index, so that the signals of two epochs are of the same damage.

    Args:
        spotter: trained or not.
        held_out: batches of images, float32 (batch, height, width, 3) in [-1, 1].

    Returns:
        `held_out_psnr` (dB) and `held_out_laplacian_share` of the autoencoder; where cells are dropped
        `held_out_unrepaired_distance` and, with a repair network, `held_out_repaired_distance`, the patch distances,
        and `held_out_brightness_shift` of repaired cells, in grey levels.
    """
    kinds = [kind for kind in kinds_of(spotter) if kind != TRAINING_MODE]
    photos = alter(spotter, held_out, kinds)
    signals = copy_signals(photos.copies)
    if not photos.dropped.any():
        return signals
    for kind, images in photos.altered.items():
        signals[f"held_out_{kind}_distance"] = patch_distance(images, photos.decoded, photos.dropped)
    if REPAIRED in kinds:
        shift = brightness_shift(photos.altered[REPAIRED], photos.decoded, photos.dropped)
        signals["held_out_brightness_shift"] = shift
    return signals


def blur_warning(psnr: float) -> str | None:
    """Return a warning if copies of this PSNR, in dB, are a blur."""
    if psnr >= BLUR:
        return None
    return (
        f"the autoencoder's copies of held-out photos are a blur: {psnr:.1f} dB, below {BLUR:.0f} dB; there is "
        "little detail to learn from; train it longer (training.autoencoder_steps)"
    )


def repair_warning(signals: Mapping[str, Any], epoch: int) -> str | None:
    """Return a warning if the repair makes damage easier to see than it was, after the first epochs.

    Args:
        signals: of `repair_signals`, or a line of metrics that has them.
        epoch: of stage 2, from 1.
    """
    before, after = (signals.get(f"held_out_{kind}_distance") for kind in (UNREPAIRED, REPAIRED))
    if epoch <= EARLY_EPOCHS or before is None or after is None or after <= before:
        return None
    return (
        f"the repair makes damage easier to see than it was: patch distance {after:.3f} of repaired cells, "
        f"{before:.3f} of unrepaired ones; see the remedies in docs/healthy.md"
    )


def warnings_of(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the warnings that hold at the end of what is recorded, for a report.

    Args:
        metrics: the lines of metrics.jsonl.
    """
    measured = [line for line in metrics if line.get("held_out_psnr") is not None]
    if not measured or metrics[-1]["stage"] != "spotter":
        return []
    last = measured[-1]
    found = (blur_warning(last["held_out_psnr"]), repair_warning(last, last["epoch"]))
    return [text for text in found if text is not None]
