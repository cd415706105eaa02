"""What methods learned of their own tasks: python studies/own_tasks.py COMPARISON --data SPEC --out FILE

COMPARISON is a folder of `tf-spot compare`. At each quarter of a training: the accuracy at the pretext task, the mean
of an epoch, and the probe of conv5 on held-out training labels. Beside them that probe of two networks at their initial
weights: one sees colours, one sees gradients, as that of `noise-as-targets` does.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.baselines import METHODS  # noqa: E402
from tf_spot.baselines.exemplar import MOST_CLASSES  # noqa: E402
from tf_spot.baselines.gradient_images import GradientBackbone  # noqa: E402
from tf_spot.baselines.jigsaw import PERMUTATIONS  # noqa: E402
from tf_spot.data import Source, open_source  # noqa: E402
from tf_spot.evaluation import held_out_probe  # noqa: E402
from tf_spot.experiments.learning_curve import FILE, POINT, VALUES, read_curve  # noqa: E402
from tf_spot.experiments.plain_fit import random_backbone  # noqa: E402
from tf_spot.runs.run import Run  # noqa: E402
from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

ACCURACY = "pretext_accuracy"


def chances(batch: int, photos: int, classes: int) -> dict[str, float]:
    """Return the accuracy of guessing at each pretext task.

    Left out: tasks without an accuracy (`inpainting`), with classes that are not equally frequent (`colorization`,
    `split-brain`), or whose accuracy is that of a discriminator (`bigan`).

    Args:
        batch: photos in a batch, among which some methods find one again.
        photos: trained on.
        classes: of their labels.
    """
    return {
        "context": 6 / 40,  # the commonest neighbour
        "jigsaw": 1 / PERMUTATIONS,
        "rotation": 1 / 4,
        "counting": 1 / 2,
        "exemplar": 1 / 2 if photos > MOST_CLASSES else 1 / photos,  # triplets, else classes
        "lci": 1 / 6,
        "noise-as-targets": 1 / batch,
        "byol": 1 / batch,
        "barlow-twins": 1 / batch,
        "simclr": 1 / (2 * batch - 1),
        "supervised": 1 / classes,
    }


def judge(folder: Path, chance: float | None) -> dict[str, Any]:
    """Return how a row's accuracies went: {"chance": ..., "points": [{"images_seen", "task", "conv5"}, ...]}."""
    epochs = {line["images_seen"]: line for line in Run(folder).metrics()}
    points = [
        {
            "images_seen": point["images_seen"],
            "task": round(epochs[point["images_seen"]][ACCURACY], 4),
            "conv5": point["value"],
        }
        for point in read_curve(folder)
    ]
    return {"chance": None if chance is None else round(chance, 4), "points": points}


def at_start(source: Source, run: Run) -> dict[str, dict[str, Any]]:
    """Return the probe of networks at their initial weights, that of the curves."""
    backbone = random_backbone(run.config)
    networks = {"colours": backbone, "gradients": GradientBackbone(backbone)}
    probes = {name: held_out_probe(network, source, num_values=VALUES) for name, network in networks.items()}
    return {name: {key: probe[key] for key in POINT} for name, probe in probes.items()}


def table(result: dict[str, Any]) -> str:
    """Return a line per method: its task's accuracy in percent after each quarter, that of guessing, and conv5's."""
    quarters = "".join(f"{text:>7}" for text in ("1/4", "1/2", "3/4", "all"))
    lines = [
        f"accuracy in percent on {result['data']} after quarters of the training",
        f"{'':18}{'at its own task':>28}{'':9}{'conv5, held-out labels':>28}",
        f"{'':18}{quarters}{'chance':>9}{quarters}",
    ]
    for method, row in result["methods"].items():
        task = "".join(f"{100 * point['task']:7.1f}" for point in row["points"])
        conv5 = "".join(f"{point['conv5']:7.1f}" for point in row["points"])
        chance = f"{'-' if row['chance'] is None else format(100 * row['chance'], '.1f'):>9}"
        lines.append(f"{method:18}{task}{chance}{conv5}")
    for name, probe in result["at_start"].items():
        lines.append(f"{'random, ' + name:18}{'':58}{probe['value']:7.1f}")
    error = max(probe["stderr"] for probe in result["at_start"].values())
    return "\n".join([*lines, f"standard error of conv5: {error:.1f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = {name: options.comparison / f"{name}-0" for name in METHODS}
    rows = {
        name: folder
        for name, folder in rows.items()
        if (folder / FILE).is_file() and any(ACCURACY in line for line in Run(folder).metrics())
    }
    if not rows:
        sys.exit(f"COMPARISON must be a folder of tf-spot compare with pretext tasks; received: {options.comparison}")
    run = Run(next(iter(rows.values())))
    source = open_source(options.data, run.config)
    known = chances(run.config.training.batch_size, source.count("train"), len(source.class_names or ()))
    result = {
        "task": "own-tasks",
        "data": source.name,
        "methods": {name: judge(folder, known.get(name)) for name, folder in rows.items()},
        "at_start": at_start(source, run),
    }
    write_json(options.out, result | provenance(f"python studies/own_tasks.py {shlex.join(sys.argv[1:])}"))
    print(table(result))


if __name__ == "__main__":
    main()
