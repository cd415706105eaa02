"""Training curves of variants of the ablation.

Writes results/ablation-curves.json and docs/images/ablation-curves.png:

    python studies/ablation_curves.py baseline=OUT/baseline-0 a=OUT/a-0 c=OUT/c-0 k=OUT/k-0 l=OUT/l-0

OUT is the folder of the `tf-spot ablate` whose recipe stands in results/ablation-tiny-imagenette96/ablation.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from studies.healthy import record  # noqa: E402
from tf_spot.config import ABLATIONS  # noqa: E402
from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

PANELS = {
    "decoded_accuracy": "Real photos told as real",
    "repaired_accuracy": "Repaired photos told as repaired",
    "held_out_mask_auc": "Dropped cells found, AUC",
    "knn_accuracy": "kNN accuracy of the features",
}


def title(variant: str) -> str:
    """Return the variant's name in the ablation table."""
    says = ABLATIONS[variant].says
    return f"({variant}) {says}" if len(variant) == 1 else says


def table(result: dict[str, Any]) -> str:
    """Return the panels' values at the first and the last step as text, one line per variant."""
    lines = [" " * 40 + "   told as real  told as repaired       mask AUC            kNN",
             " " * 40 + "    first  last       first  last    first  last    first  last"]  # fmt: skip
    for variant, run in result["runs"].items():
        ends = [[line[name] for line in run["curve"] if line[name] is not None] for name in PANELS]
        cells = [f"{values[0]:.2f}  {values[-1]:.2f}" if values else "-" for values in ends]
        lines.append(f"{title(variant):<40}{cells[0]:>15}{cells[1]:>18}{cells[2]:>15}{cells[3]:>15}")
    return "\n".join(lines)


def draw(runs: dict[str, dict[str, Any]], picture: Path) -> None:
    """Draw one panel per signal with one curve per variant."""
    with plt.rc_context({"font.size": 10, "axes.grid": True, "grid.alpha": 0.3}):
        figure, panels = plt.subplots(2, 2, figsize=(9, 6), layout="constrained", sharex=True)
        for axes, (name, heading) in zip(panels.flat, PANELS.items(), strict=True):
            for variant, run in runs.items():
                points = [(line["step"], line[name]) for line in run["curve"] if line[name] is not None]
                steps, values = zip(*points, strict=True) if points else ((), ())
                axes.plot(steps, values, marker="o", markersize=3, label=title(variant))
            axes.set_title(heading)
            axes.spines[["top", "right"]].set_visible(False)
        for axes in panels[1]:
            axes.set_xlabel("steps of the game")
        figure.legend(*panels[0, 0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2)
        figure.savefig(picture, dpi=110, metadata={"Software": None})
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="VARIANT=RUN", nargs="+")
    options = parser.parse_args()
    named = dict(text.split("=", 1) for text in options.runs)
    runs = {variant: record(Path(path)) for variant, path in named.items()}
    words = [f"{variant}=OUT/{Path(path).name}" for variant, path in named.items()]
    command = " ".join(["python", "studies/ablation_curves.py", *words])
    result = {"task": "ablation-curves", "runs": runs} | provenance(command)
    write_json(ROOT / "results" / "ablation-curves.json", result)
    draw(runs, ROOT / "docs" / "images" / "ablation-curves.png")
    print(table(result))


if __name__ == "__main__":
    main()
