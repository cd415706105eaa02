"""What the methods of a comparison compute: python studies/computation.py COMPARE.json --data SPEC --out FILE

COMPARE.json is the table of `tf-spot compare`, with a budget of images. Counted are the convolutions and matrix
products of a training step, as the layers are defined (`benchmarks/count_flops.py`); the table gives them per image and
for the whole training, beside the accuracy of conv5. docs/images/computation.png has the curves against them.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from count_flops import as_defined, flop  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from tf_spot.baselines import GAMES, PRETEXTS  # noqa: E402
from tf_spot.config import Config  # noqa: E402
from tf_spot.data import Source, open_source  # noqa: E402
from tf_spot.evaluation.judgement import judged_value  # noqa: E402
from tf_spot.experiments.budget import Budget, two_stages  # noqa: E402
from tf_spot.experiments.plain_fit import build_model, stream  # noqa: E402
from tf_spot.models.from_config import build_autoencoder, build_spotter  # noqa: E402
from tf_spot.report.comparison import look_of, mean_curve  # noqa: E402
from tf_spot.storage.files import write_file, write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "computation.png"
Stages = list[tuple[int, float]]  # images of a stage, and 10^9 operations per image


def gflop_per_image(model: keras.Model, batches: tf.data.Dataset, batch_size: int) -> float:
    """Return the 10^9 floating-point operations of a training step, per image of its batch."""
    return flop(as_defined(model.train_step, next(iter(batches)))) / batch_size / 1e9


def stages(method: str, config: Config, source: Source, images: int) -> Stages:
    """Return what a method trains one after the other: the games have an autoencoder first.

    Args:
        method: one of `METHODS`.
        config: the recipe.
        source: its photos.
        images: the budget.
    """
    batch = config.training.batch_size
    if method in GAMES:
        config = two_stages(config.replace(**GAMES[method]), Budget(images), source)
        photos = source.unlabelled(batch)
        autoencoder = build_autoencoder(config)
        # Counted before the spotter is built, which freezes the autoencoder.
        first = gflop_per_image(autoencoder, photos, batch)
        second = gflop_per_image(build_spotter(config, autoencoder), photos, batch)
        return [(config.training.autoencoder_steps * batch, first), (config.training.spotter_steps * batch, second)]
    model = build_model(method, config, source, 1)
    return [(images, gflop_per_image(model, stream(method, config, source, 0), batch))]


def computed(images: float, trained: Stages) -> float:
    """Return the 10^12 operations of a training that has seen a number of images."""
    total = 0.0
    for most, gflop in trained:
        total += min(images, most) * gflop
        images = max(0.0, images - most)
    return total / 1e3


def table(result: dict[str, Any]) -> str:
    """Return a line per method in the order of conv5: operations per image, in all, and the accuracy."""
    lines = [
        f"{result['data']}, {Budget(**result['budget'])} a method",
        f"{'':16}{'GFLOP/image':>13}{'TFLOP':>10}   conv5",
    ]
    for method, row in sorted(result["methods"].items(), key=lambda entry: -entry[1]["conv5"]):
        lines.append(f"{method:16}{row['gflop_per_image']:13.3f}{row['teraflop']:10,.1f}{row['conv5']:8.1f}")
    return "\n".join(lines)


def draw(curves: dict[str, Any], trained: dict[str, Stages], ylabel: str) -> Figure:
    """Draw the accuracy of each method against what it has computed."""
    canvas = Figure(figsize=(8, 4.4), layout="constrained")
    axes = canvas.subplots()
    for number, method in enumerate(trained):
        images, values = mean_curve(curves[method])
        spent = [computed(seen, trained[method]) for seen in images]
        look = look_of(number)
        axes.plot(spent, values, marker="o", label=method, color=look.colour, linestyle=look.line)
    axes.set_xscale("log")
    axes.set_xlabel("10¹² floating-point operations")
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    canvas.legend(frameon=False, fontsize=9, loc="outside right upper")
    return canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", metavar="COMPARE.json", type=Path)
    parser.add_argument("--data", metavar="SPEC", required=True)
    parser.add_argument("--out", metavar="FILE", type=Path, required=True)
    options = parser.parse_args()
    compared = json.loads(options.comparison.read_text(encoding="utf-8"))
    if compared["budget"]["images"] is None:
        sys.exit(f"COMPARE.json must have a budget of images; received: {compared['budget']}")
    config = Config.from_record(compared["config"])
    source = open_source(options.data, config)
    trained: dict[str, Stages] = {}
    rows: dict[str, Any] = {}
    for method, row in compared["methods"].items():
        if method in GAMES or method in PRETEXTS:  # those that gradient descent trains, on the shared backbone
            images = row["images_seen"][0]
            trained[method] = stages(method, config, source, compared["budget"]["images"])
            teraflop = computed(images, trained[method])
            rows[method] = {
                "gflop_per_image": round(1e3 * teraflop / images, 4),
                "teraflop": round(teraflop, 2),
                "conv5": judged_value(row),
            }
            keras.backend.clear_session()
    result = {"task": "computation", "data": source.name, "budget": compared["budget"], "methods": rows}
    write_json(options.out, result | provenance(f"python studies/computation.py {shlex.join(sys.argv[1:])}"))
    curves = {method: compared["methods"][method]["curves"] for method in trained}
    label = "conv5, held-out training labels, % right"
    write_file(PICTURE, lambda aside: draw(curves, trained, label).savefig(aside, dpi=150))
    print(table(result))


if __name__ == "__main__":
    main()
