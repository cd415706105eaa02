"""Images per second of the features at 96 px, on two cores: python benchmarks/inference.py [--torch-python PYTHON]

Writes results/benchmarks/inference.json: Keras predict, SavedModel, TFLite and ONNX Runtime in float32 and int8 and,
if `--torch-python` names a Python with torch and NumPy, a PyTorch twin with the same weights, in its usual form and
with the memory layout channels-last. They take turns, some seconds at each batch size (take_turns.py). Rates are
medians over the rounds; ratios are to the better of the two twins.

The weights are random, which does not change the work. The photos are the embedded ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from take_turns import CORES, on_two_cores, started, take_turns  # noqa: E402

if TYPE_CHECKING:
    import numpy as np

    from tf_spot.models.backbones import AlexNet

TARGET = ROOT / "results" / "benchmarks" / "inference.json"
BATCHES = (1, 32)
ARTIFACTS = {  # contestant: format, quantisation
    "SavedModel": ("saved_model", "none"),
    "TFLite float32": ("tflite", "none"),
    "TFLite int8": ("tflite", "int8"),
    "ONNX Runtime float32": ("onnx", "none"),
    "ONNX Runtime int8": ("onnx", "int8"),
}
TWINS = {"PyTorch": [], "PyTorch channels-last": ["--channels-last"]}
PACKAGES = ("ai-edge-litert", "onnxruntime")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", type=Path, help="a Python with torch; without it the twin is left out")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn at one batch size")
    parser.add_argument("--size", type=int, default=96, help="pixels")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    on_two_cores()
    from tf_spot.storage.files import write_json
    from tf_spot.storage.provenance import provenance, version_of

    with tempfile.TemporaryDirectory() as folder:
        commands = prepare(Path(folder), options)
        with started(commands) as contestants:
            runs = take_turns(contestants, options.rounds, options.seconds, BATCHES)
    settings = {"image_size": options.size, "width": options.width, "cores": CORES, "rounds": options.rounds,
                "seconds_a_turn": options.seconds}  # fmt: skip
    result = {"task": "benchmark-inference", "part": "features"} | settings | summary(runs) | {"runs": runs}
    now = provenance("python benchmarks/inference.py --torch-python PYTHON")
    now["versions"] |= {name: version_of(name) for name in PACKAGES} | torch_version(options.torch_python)
    write_json(options.out, result | now)
    print(json.dumps({name: result[name] for name in ("images_per_second", "ratios")}, indent=2))


def prepare(folder: Path, options: argparse.Namespace) -> dict[str, list[str]]:
    """Export all artifacts and return the command of each contestant."""
    import numpy as np

    from tf_spot.config import preset
    from tf_spot.exporters import export
    from tf_spot.exporters.export import CALIBRATION_PHOTOS
    from tf_spot.exporters.signature import sample_photos
    from tf_spot.models.from_config import build_autoencoder, build_spotter

    config = preset("stl10").replace(**{"data.image_size": options.size, "network.width": options.width})
    spotter = build_spotter(config, build_autoencoder(config))
    photos = sample_photos("photos", config, CALIBRATION_PHOTOS)
    reference = folder / "reference.npz"
    np.savez(reference, photos=photos[:8], allow_pickle=False, **known_of(spotter.backbone, photos[:8]))
    spotter.backbone.save(folder / "backbone.keras")
    ours = [sys.executable, str(ROOT / "benchmarks" / "exported_contestant.py")]
    commands = {"Keras predict": [*ours, "keras", str(folder / "backbone.keras"), str(reference)]}
    for name, (format, quantization) in ARTIFACTS.items():
        bundle = folder / f"{format}-{quantization}"
        manifest = export(spotter, bundle, format=format, quantize=quantization, photos=photos, config=config)
        commands[name] = [*ours, format, str(bundle / manifest["artifact"]), str(reference)]
    if options.torch_python:
        twin = [str(options.torch_python), str(ROOT / "benchmarks" / "torch_inference.py"), str(reference)]
        commands |= {name: [*twin, *words] for name, words in TWINS.items()}
    return commands


def known_of(backbone: AlexNet, photos: np.ndarray) -> dict[str, np.ndarray]:
    """Return the weights that the twin needs, with batch norm folded into them, and two maps to compare.

    Args:
        backbone: any norm.
        photos: uint8 (photos, size, size, 3).

    Returns:
        Arrays by name, see torch_inference.py.
    """
    import numpy as np

    from tf_spot.config import IMAGE_MEAN, RESPONSE_NORM

    known: dict[str, np.ndarray] = {}
    for i, (conv, norm) in enumerate(zip(backbone.convs, backbone.norms, strict=True), start=1):
        factor = 1.0 if norm is None else norm.scale_factor().numpy()
        known[f"kernel{i}"] = conv.kernel.numpy() * factor
        known[f"shift{i}"] = conv.bias.numpy() if norm is None else norm.shift().numpy()
    known["groups"] = np.array([conv.groups for conv in backbone.convs])
    known["strides"] = np.array([conv.strides[0] for conv in backbone.convs])
    known["mean"] = np.array(IMAGE_MEAN, np.float32)
    names = ("depth_radius", "alpha", "beta", "bias") if backbone.response_norm is not None else ()
    known["response"] = np.array([RESPONSE_NORM[name] for name in names])
    maps = backbone.of_pixels(photos.astype(np.float32))
    return known | {name: maps[name].numpy() for name in ("conv1", "conv5")}


def summary(runs: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Return the median rates, their ratios to the better twin at each batch size, and the best of ours."""
    rates = {
        name: {batch: round(statistics.median(values), 1) for batch, values in found.items()}
        for name, found in runs.items()
    }
    twins = [name for name in TWINS if name in rates]
    ratios: dict[str, dict[str, float]] = {}
    if twins:
        best = {batch: max(rates[name][batch] for name in twins) for batch in map(str, BATCHES)}
        ratios = {
            name: {batch: round(rate / best[batch], 3) for batch, rate in found.items()}
            for name, found in rates.items()
            if name not in twins
        }
        ratios["best of ours"] = {batch: max(ratio[batch] for ratio in ratios.values()) for batch in best}
    return {"images_per_second": rates, "ratios": ratios}


def torch_version(python: Path | None) -> dict[str, str]:
    """Return {"torch": version} of that Python; empty without one."""
    if python is None:
        return {}
    words = [str(python), "-c", "import torch; print(torch.__version__)"]
    return {"torch": subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()}


if __name__ == "__main__":
    main()
