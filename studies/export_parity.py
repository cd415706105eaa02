"""Differences of exported artifacts from their model: parts x formats x quantisations x batch sizes, on real photos.

    python studies/export_parity.py RUN --data SPEC

Writes results/export-parity.json: for each artifact its size and, by batch size and output, the largest difference,
the output's largest value, their ratio (`share`) and the relative rms error; for the features also the linear probe of
the embedding beside the float32 model's, so SPEC must be labelled photos with a test split. RUN must hold a classifier;
this command trains one:

    tf-spot evaluate RUN --task finetune --data SPEC
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tf_spot.errors import UserError
from tf_spot.exporters import export
from tf_spot.exporters.export import CALIBRATION_PHOTOS, FORMATS
from tf_spot.exporters.signature import PARTS, sample_photos
from tf_spot.runs.load import load_classifier, load_spotter
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json
from tf_spot.storage.provenance import provenance


def rows(run: Run, photos: np.ndarray, spec: str) -> list[dict[str, Any]]:
    """Export everything and return one row per artifact; the row of a refused one has the reason.

    Args:
        run: with a spotter and a classifier.
        photos: uint8 (photos, size, size, 3), to compare on and to find int8 ranges with.
        spec: labelled photos for the probe.
    """
    models = {"classifier": load_classifier(run)} | dict.fromkeys(("features", "spotter"), load_spotter(run))
    found = []
    for part in PARTS:
        for format, quantizations in FORMATS.items():
            for quantization in quantizations:
                row: dict[str, Any] = {"part": part, "format": format, "quantization": quantization}
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        manifest = export(
                            models[part],
                            Path(folder, "out"),
                            format=format,
                            part=part,
                            quantize=quantization,
                            photos=photos,
                            config=run.config,
                            probe=spec if part == "features" else None,
                        )
                    except UserError as error:
                        found.append(row | {"refused": str(error)})
                        continue
                keys = ("size_bytes", "float_operations", "linear_probe", "parity")
                found.append(row | {name: manifest[name] for name in keys if name in manifest})
                print(row, manifest.get("linear_probe"), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data", metavar="SPEC", required=True)
    options = parser.parse_args()
    run = Run(options.run)
    photos = sample_photos(options.data, run.config, CALIBRATION_PHOTOS)
    result = {
        "task": "export-parity",
        "data": run.data["name"] if options.data == run.data["spec"] else options.data.partition(":")[0],
        "preset": run.config.preset,
        "image_size": run.config.data.image_size,
        "photos": len(photos),
        "rows": rows(run, photos, options.data),
        "config": run.config.to_dict(),
    }
    now = provenance("python studies/export_parity.py RUN --data SPEC")  # no paths of a machine
    write_json(Path(__file__).resolve().parent.parent / "results" / "export-parity.json", result | now)


if __name__ == "__main__":
    main()
