"""`tf-spot demo`: training, probe, heat maps and report on photos that ship with Python packages."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tf_spot.commands.shared_options import DONE, Subcommands, add_subcommand
from tf_spot.config import Config, preset
from tf_spot.errors import UserError
from tf_spot.progress import Progress, show_progress
from tf_spot.storage.json_files import read_json
from tf_spot.storage.lock import sole_writer

if TYPE_CHECKING:
    import tensorflow as tf

    from tf_spot.models.spotter import ArtifactSpotter
    from tf_spot.training.callbacks import OnEpoch

SPEC, PRESET = "photos", "tiny"
# Values that a layer is pooled to: fewer than the 2,560 training patches, so that the probe takes seconds.
NUM_VALUES = 2_000
# Photos whose patches are spotted: one where repairs hide well, one where they do not.
SHOWN = ("china", "flower")


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(
        subcommands, "demo", run, "the whole story on photos that ship with Python packages, in minutes"
    )
    parser.add_argument("--out", metavar="RUN", type=Path, default=Path("demo"), help="run folder to write (demo)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    _clear(options.out)  # before TensorFlow is loaded
    from tf_spot.evaluation import format_table
    from tf_spot.training.epoch_table import EpochTable

    with show_progress() as display:
        table = EpochTable(display.write, preset(PRESET))
        result = demo(options.out, display, on_epoch=table)
    print(format_table(result))
    print(f"\nlook at {options.out / 'report.html'}: tables, curves, pictures, heat maps")
    return result, DONE


def demo(
    out: Path,
    on_progress: Progress | None = None,
    config: Config | None = None,
    on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
    """Make a run folder with both stages, a linear probe, heat maps and report.html.

    Args:
        out: the run folder: new, empty, or that of an earlier demo, which is replaced.
        on_progress: called with (done, total, text).
        config: the recipe, by default the preset `tiny`.
        on_epoch: called with each line of metrics.jsonl.

    Returns:
        the result of the probe, see `evaluate_run`, with `spotted`, see `spot_files`, and `report`, the page's path.

    Raises:
        UserError: `out` holds something else.
    """
    from tf_spot.evaluation.evaluate_run import evaluate_run
    from tf_spot.inference.heat_map import spot_files
    from tf_spot.report import report
    from tf_spot.training.train import train

    _clear(out)
    config = config or preset(PRESET)
    spotter = train(config, SPEC, out, on_progress=on_progress, on_epoch=on_epoch)
    result = evaluate_run(out, SPEC, "linear", num_values=NUM_VALUES, on_progress=on_progress)
    spotted = spot_files(spotter, _draw_examples(spotter, config, out / "examples"), out / "heat_maps")
    return result | {"spotted": spotted, "report": str(report(out))}


def _clear(out: Path) -> None:
    """Remove an earlier demo, and nothing else.

    Raises:
        UserError: `out` holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not _is_demo(out):
        raise UserError(f"--out must be a new folder or that of an earlier demo; received: {out}; give another --out")
    with sole_writer(out, "training"):  # not one that is running
        shutil.rmtree(out)


def _is_demo(folder: Path) -> bool:
    """True for a run folder that the demo wrote; whatever else is there is the user's."""
    try:
        config, data, versions = (read_json(folder / f"{name}.json") for name in ("config", "data", "versions"))
        # Not one of `tf-spot train` with the same preset and photos.
        subcommand = next((word for word in versions["command"][1:] if not word.startswith("-")), None)
        return (subcommand, config["preset"], data["spec"]) == ("demo", PRESET, SPEC)
    except (OSError, ValueError, KeyError, TypeError):  # not a run folder, or not one of ours
        return False


def _draw_examples(spotter: ArtifactSpotter, config: Config, folder: Path) -> list[Path]:
    """Write test patches into two files each: only autoencoded, and with dropped cells repaired.

    Returns:
        the files, sorted: those of one photo follow each other.
    """
    import tensorflow as tf

    from tf_spot.visualization.pictures import save_png, to_uint8

    names, patches = _most_varied(config)
    corrupted = spotter.corrupt(patches, tf.constant(0))  # step 0: the same cells are dropped each time
    paths = []
    for kind, images in (("autoencoded", corrupted.decoded), ("repaired", corrupted.repaired)):
        for name, image in zip(names, images.numpy(), strict=True):
            paths.append(folder / f"{name}-{kind}.png")
            save_png(paths[-1], to_uint8(image))
    return sorted(paths)


def _most_varied(config: Config) -> tuple[list[str], tf.Tensor]:
    """Return the test patch of largest standard deviation of each of the `SHOWN` photos: a plain wall shows nothing.

    Returns:
        the photos' names, and patches float32 (photos, image_size, image_size, 3) in [-1, 1].
    """
    import numpy as np
    import tensorflow as tf

    from tf_spot.data import open_source
    from tf_spot.evaluation.evaluate_run import BATCH

    source = open_source(SPEC, config)
    batches = [(images.numpy(), labels.numpy()) for images, labels in source.labelled("test", BATCH)]
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    chosen = []
    for name in SHOWN:
        patches = images[labels == (source.class_names or []).index(name)]  # (patches, image_size, image_size, 3)
        chosen.append(patches[patches.std(axis=(1, 2, 3)).argmax()])
    return list(SHOWN), tf.stack(chosen)
