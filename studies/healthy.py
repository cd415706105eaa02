"""Training curves of a good, a collapsed and a too easy run.

Writes results/healthy.json and docs/images/healthy-*.png:

    tf-spot train --data photos --preset tiny --set training.steps_per_epoch=50 --out good
    short="--preset tiny --set training.spotter_steps=300 --set training.steps_per_epoch=25 --autoencoder good"
    tf-spot train --data photos $short --set training.repair_learning_rate=1e-6 --out easy
    tf-spot train --data photos $short --set network.trunk_norm=response \\
        --set training.discriminator_learning_rate=0.01 --out collapsed
    python studies/healthy.py good=good easy=easy collapsed=collapsed small=RUN

RUN is the run of the README's second table.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.config import preset  # noqa: E402
from tf_spot.runs.run import Run  # noqa: E402
from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

SIGNALS = ("decoded_accuracy", "repaired_accuracy", "mask_loss", "held_out_mask_auc", "feature_std", "effective_rank",
           "knn_accuracy")  # fmt: skip


def record(path: Path) -> dict[str, Any]:
    """Return the photos, the recipe and the stage 2 curves of one run."""
    run = Run(path)
    recipe, usual = run.config.to_dict(), preset(run.config.preset).to_dict()
    changes = {
        f"{group}.{name}": value
        for group, fields in recipe.items()
        if isinstance(fields, dict)
        for name, value in fields.items()
        if value != usual[group][name]
    }
    lines = [line for line in run.metrics() if line["stage"] == "spotter"]
    return {
        "data": json.loads((path / "data.json").read_text())["name"],
        "preset": run.config.preset,
        "changes": changes,
        "drop_rate": recipe["game"]["drop_rate"],
        "curve": [{name: line.get(name) for name in ("step", *SIGNALS)} for line in lines],
    }


def table(result: dict[str, Any]) -> str:
    """Return the last value of every signal as text, one line per run."""
    lines = ["run           accuracy on       mask loss     mask   spread of  effective       kNN",
             "           decoded repaired   (of constant)    AUC    features       rank  accuracy"]  # fmt: skip
    for name, run in result["runs"].items():
        last = {signal: [line[signal] for line in run["curve"] if line[signal] is not None][-1] for signal in SIGNALS}
        lines.append(
            f"{name:<11}{last['decoded_accuracy']:>7.2f}{last['repaired_accuracy']:>9.2f}"
            f"{last['mask_loss']:>8.2f} ({constant(run['drop_rate']):.2f}){last['held_out_mask_auc']:>9.2f}"
            f"{last['feature_std']:>12.3f}{last['effective_rank']:>11.1f}{last['knn_accuracy']:>10.2f}"
        )
    return "\n".join(lines)


def constant(drop_rate: float) -> float:
    """Return the mask loss of a constant prediction: the entropy of the drop rate."""
    return -drop_rate * math.log(drop_rate) - (1 - drop_rate) * math.log(1 - drop_rate)


def draw(run: dict[str, Any], tops: dict[str, float], picture: Path) -> None:
    """Draw four panels: accuracy on both classes, mask loss, spread of the features, their effective rank.

    Args:
        run: see `record`.
        tops: upper limits of the axes of "feature_std" and "effective_rank", the same for all runs.
        picture: the file to write.
    """
    with plt.rc_context({"font.size": 10, "axes.grid": True, "grid.alpha": 0.3}):
        figure, ((game, mask), (spread, rank)) = plt.subplots(2, 2, figsize=(8, 4.6), layout="constrained", sharex=True)
        for axes, name in (
            (game, "decoded_accuracy"),
            (game, "repaired_accuracy"),
            (mask, "mask_loss"),
            (spread, "feature_std"),
            (rank, "effective_rank"),
        ):
            points = [(line["step"], line[name]) for line in run["curve"] if line[name] is not None]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
            axes.spines[["top", "right"]].set_visible(False)
        mask.axhline(constant(run["drop_rate"]), color="grey", linestyle="--", label="a constant answer")
        game.set(title="Who wins the game", ylim=(-0.03, 1.03))
        mask.set(title="Finding the dropped cells", ylim=(0, 0.9))
        spread.set(title="Spread of the features", ylim=(0, tops["feature_std"]), xlabel="steps")
        rank.set(title="Effective rank of the features", ylim=(0, tops["effective_rank"]), xlabel="steps")
        for axes in (game, mask, spread, rank):
            axes.legend(frameon=False)
        figure.savefig(picture, dpi=110, metadata={"Software": None})
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="NAME=RUN", nargs="+")
    options = parser.parse_args()
    named = dict(text.split("=", 1) for text in options.runs)
    runs = {name: record(Path(path)) for name, path in named.items()}
    words = [f"{name}={Path(path).name}" for name, path in named.items()]
    command = shlex.join(["python", "studies/healthy.py", *words])
    result = {"task": "healthy", "runs": runs} | provenance(command)
    write_json(ROOT / "results" / "healthy.json", result)
    tops = {
        name: 1.1 * max(line[name] or 0 for run in runs.values() for line in run["curve"])
        for name in ("feature_std", "effective_rank")
    }
    for name, run in runs.items():
        draw(run, tops, ROOT / "docs" / "images" / f"healthy-{name}.png")
    print(table(result))


if __name__ == "__main__":
    main()
