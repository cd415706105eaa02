"""`tf-spot export`: write a run as a SavedModel, TFLite or ONNX file and check it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tf_spot.commands.shared_options import DONE, Subcommands, add_subcommand, format_metrics
from tf_spot.errors import UserError
from tf_spot.runs.cards import is_pretrained
from tf_spot.runs.run import Run, recipe_of
from tf_spot.storage.names import printable
from tf_spot.storage.spec import parse_specs

if TYPE_CHECKING:
    import numpy as np

    from tf_spot.config import Config


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "export", run, "write a run as a file that runs without tf-spot, and check it")
    parser.add_argument(
        "run", metavar="RUN", type=Path, help="run folder; for the part features also the name of pretrained weights"
    )
    parser.add_argument("--format", choices=("saved_model", "tflite", "onnx"), required=True)
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="new or empty folder")
    parser.add_argument(
        "--part", choices=("features", "spotter", "classifier"), default="features", help="default: %(default)s"
    )
    parser.add_argument(
        "--quantize",
        choices=("none", "float16", "dynamic", "int8", "int8-integer"),
        default="none",
        help="default: %(default)s; onnx: none, int8; saved_model: none",
    )
    parser.add_argument(
        "--image-size",
        choices=("fixed", "dynamic"),
        default="fixed",
        help="that of the run, or any (part features only, not with int8); default: %(default)s",
    )
    parser.add_argument(
        "--data",
        metavar="SPEC",
        help="photos to compare on and to find int8 ranges with; default: the run's, else the bundled ones",
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="the photos of --data have labels: compare the linear probe of the artifact with the model's",
    )


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Export and return the printed metrics and the exit code."""
    if options.probe and options.data is None:
        raise UserError("--probe needs labelled photos with a test split; received no --data; add --data SPEC")
    if options.quantize.startswith("int8") and options.data is None:
        raise UserError("int8 needs photos to find its ranges on; received no --data; add for instance --data photos")
    config, named = recipe_of(options.run), is_pretrained(options.run)
    if named and options.part != "features":
        raise UserError(
            f"--part {options.part} needs a run folder; received: {options.run}, weights of the backbone alone; leave "
            "the option out"
        )
    if options.data is not None:
        parse_specs(options.data)
    from tf_spot.exporters import export

    photos, photos_name = _photos(None if named else Run(options.run), config, options.data)
    manifest = export(
        str(options.run) if named else _trained(Run(options.run), options.part),
        options.out,
        format=options.format,
        part=options.part,
        quantize=options.quantize,
        image_size=options.image_size,
        photos=photos,
        photos_name=photos_name,
        config=config,
        probe=options.data if options.probe else None,
    )
    outputs = [output for batch in manifest["parity"].values() for output in batch.values()]
    metrics = {name: manifest[name] for name in ("part", "format", "quantization", "artifact", "size_bytes")}
    metrics |= {name: max(output[name] for output in outputs) for name in ("share", "relative_rms")}
    metrics["compared_on"] = f"{manifest['photos']['compared']} of {photos_name}"
    if manifest["photos"]["calibrated"]:
        metrics["calibrated_on"] = f"{manifest['photos']['calibrated']} of {photos_name}"
    if "float_operations" in manifest:
        metrics["stays_float"] = ", ".join(manifest["float_operations"]) or "nothing"
    if "linear_probe" in manifest:
        metrics |= {f"probe_{name}": manifest["linear_probe"][name] for name in ("float32", "artifact", "stderr")}
    print(format_metrics(metrics))
    return metrics, DONE


def _trained(run: Run, part: str) -> Any:
    """Return the model of a run that has a part."""
    from tf_spot.runs.load import load_backbone, load_classifier, load_spotter

    if part == "features":
        return load_backbone(run.path)
    return load_classifier(run) if part == "classifier" else load_spotter(run)


def _photos(run: Run | None, config: Config, spec: str | None) -> tuple[np.ndarray, str]:
    """Return photos of `spec`, else of the run, else the bundled ones, and what they are called.

    Returns:
        uint8 (photos, size, size, 3), and a name; a line on stderr says where those of the run cannot be read.
    """
    if spec is not None or run is None:
        return _sample(spec or "photos", config)
    try:
        return _sample(run.data["spec"], config)
    except UserError as error:  # moved since the training, say, or given in Python as arrays
        reason = printable(str(error))
        print(f"tf-spot: compared on the bundled photos, as those of the run cannot be read: {reason}", file=sys.stderr)
        return _sample("photos", config)


def _sample(spec: str, config: Config) -> tuple[np.ndarray, str]:
    from tf_spot.data import open_source
    from tf_spot.exporters.export import CALIBRATION_PHOTOS
    from tf_spot.exporters.signature import BUNDLED, sample_photos

    source = open_source(spec, config)
    return sample_photos(source, config, CALIBRATION_PHOTOS), BUNDLED if spec == "photos" else source.name
