"""The whole story in minutes: train on the built-in photos, probe, spot, report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_spot.config import Config, preset
from tf_spot.data import open_source
from tf_spot.errors import UserError
from tf_spot.pictures import save_png
from tf_spot.report import report
from tf_spot.results import BATCH, evaluate_run
from tf_spot.spot import spot_files
from tf_spot.spotter import ArtifactSpotter
from tf_spot.training import train

SPEC, PRESET = "photos", "tiny"
NUM_VALUES = 2_000  # a layer is pooled to: fewer than the 2,560 training patches, so that the probe takes seconds
SHOWN = ("china", "flower")  # whose patches are spotted: repairs that hide well, and repairs that do not


def demo(
    out: Path, on_progress: Callable[[int, int, str], None] | None = None, config: Config | None = None
) -> dict[str, Any]:
    """Makes a run folder with both stages, a linear probe, heat maps and report.html.

    Args:
        out: the run folder: new, empty, or that of an earlier demo, which is replaced.
        on_progress: told (done, total, text).
        config: the recipe, by default the preset `tiny`.

    Returns:
        the result of the probe, see `evaluate_run`, with `spotted`, see `spot_files`, and `report`, the page's path.

    Raises:
        UserError: `out` holds something else.
    """
    _clear(out)
    config = config or preset(PRESET)
    spotter = train(config, SPEC, out, on_progress=on_progress)
    result = evaluate_run(out, SPEC, "linear", num_values=NUM_VALUES, on_progress=on_progress)
    spotted = spot_files(spotter, _draw_examples(spotter, config, out / "examples"), out / "heat_maps")
    return result | {"spotted": spotted, "report": str(report(out))}


def _clear(out: Path) -> None:
    """Removes an earlier demo, and nothing else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        config, data = (json.loads((out / name).read_text(encoding="utf-8")) for name in ("config.json", "data.json"))
        earlier = (config["preset"], data["spec"]) == (PRESET, SPEC)
    except (OSError, ValueError, KeyError, TypeError):
        earlier = False
    if not earlier:
        raise UserError(f"--out must be a new folder or that of an earlier demo; received: {out}; give another --out")
    shutil.rmtree(out)


def _draw_examples(spotter: ArtifactSpotter, config: Config, folder: Path) -> list[Path]:
    """Test patches as two files each: only autoencoded, and with dropped cells repaired."""
    names, patches = _most_varied(config)
    corrupted = spotter.corrupt(patches, tf.constant(0))
    paths = []
    for kind, images in (("autoencoded", corrupted.decoded), ("repaired", corrupted.repaired)):
        for name, image in zip(names, images.numpy(), strict=True):
            paths.append(folder / f"{name}-{kind}.png")
            save_png(paths[-1], np.clip(np.round((image + 1) * 127.5), 0, 255).astype(np.uint8))
    return sorted(paths)


def _most_varied(config: Config) -> tuple[list[str], tf.Tensor]:
    """Of each of the `SHOWN` photos the test patch with the largest standard deviation: a plain wall shows nothing."""
    source = open_source(SPEC, image_size=config.data.image_size, config=config.data)
    batches = [(images.numpy(), labels.numpy()) for images, labels in source.labelled("test", BATCH)]
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    chosen = []
    for name in SHOWN:
        places = np.flatnonzero(labels == (source.class_names or []).index(name))
        chosen.append(images[places[images[places].std(axis=(1, 2, 3)).argmax()]])
    return list(SHOWN), tf.stack(chosen)
