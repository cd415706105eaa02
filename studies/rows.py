"""Judge runs of the rows of Table 1, finished or broken off: python studies/rows.py --data SPEC --out FILE ROW=RUN...

ROW is a name of `tf-spot ablate`. A run that was broken off is judged as it stands: the table says after how many of
its steps. Every layer is probed as `tf-spot ablate` does it, beside the network at its initial weights.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from scipy import stats

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.config import ABLATIONS  # noqa: E402
from tf_spot.data import Source, open_source  # noqa: E402
from tf_spot.experiments.plain_fit import random_backbone  # noqa: E402
from tf_spot.experiments.table import probe_on_test  # noqa: E402
from tf_spot.runs.load import load_spotter  # noqa: E402
from tf_spot.runs.run import Run  # noqa: E402
from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

VALUES = 2_048
PROBE = ("value", "layer", "stderr", "by_layer", "train_images", "test_images")
TOLD = ("decoded_accuracy", "repaired_accuracy", "held_out_mask_auc")


def judge(row: str, run: Run, source: Source) -> dict[str, Any]:
    """Return the probe of one run, how far it came, and what its discriminator got right in its last epoch."""
    game = run.config.training
    last = [line for line in run.metrics() if line["stage"] == "spotter"][-1]
    return {
        "says": ABLATIONS[row].says,
        "paper": ABLATIONS[row].paper_accuracy,
        "steps_of_metrics": last["step"],
        "steps_planned": game.spotter_steps,
        "batch": game.batch_size,
        **{name: round(last[name], 4) for name in TOLD if name in last},
        **_probe(load_spotter(run).backbone, source),
        "config": run.config.to_dict(),
        "trained_with": {name: value for name, value in run.versions.items() if name != "command"},
    }


def _probe(backbone: Any, source: Source) -> dict[str, Any]:
    found = probe_on_test(backbone, source, num_values=VALUES, seed=0)
    return {name: found[name] for name in PROBE}


def table(result: dict[str, Any]) -> str:
    """Return a line per row: the images of its game, the probe of every layer, the paper's figure."""
    rows, layers = result["rows"], list(result["random"]["by_layer"])
    says = {name: f"({name}) " * (len(name) == 1) + row["says"] for name, row in rows.items()}
    width = max(map(len, says.values()))
    lines = [
        f"rows of Table 1 on {result['data']}: accuracy of a linear probe in percent, standard error "
        f"{max(row['stderr'] for row in rows.values()):.1f} of conv5",
        f"{'':{width}}{'images of the game':>20}" + "".join(f"{name:>7}" for name in layers) + f"{'paper':>8}",
    ]
    for name, row in rows.items():
        done, planned = row["steps"], row["steps_planned"]
        images = f"{done * row['batch']:,}" + (f" of {planned * row['batch']:,}" if done < planned else "")
        lines.append(f"{says[name]:{width}}{images:>20}{_accuracies(row)}{row['paper']:8.2f}")
    lines.append(f"{'the untrained network':{width}}{'':>20}{_accuracies(result['random'])}")
    pairs = [(row["by_layer"][layers[-1]], row["paper"]) for row in rows.values()]
    order = stats.spearmanr(*zip(*pairs, strict=True)).statistic
    return "\n".join([*lines, f"rank correlation of {layers[-1]} with the paper's order of these rows: {order:.2f}"])


def _accuracies(probe: dict[str, Any]) -> str:
    return "".join(f"{value:7.1f}" for value in probe["by_layer"].values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", metavar="ROW=RUN[:STEPS]", nargs="+", help="STEPS: done, if fewer than planned")
    parser.add_argument("--data", metavar="SPEC", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    runs: dict[str, tuple[Run, int | None]] = {}
    for text in options.rows:
        name, _, place = text.partition("=")
        path, _, steps = place.partition(":")
        runs[name] = Run(Path(path)), int(steps) if steps else None
    command = shlex.join(["python", "studies/rows.py", *sys.argv[1:]])
    config = runs["baseline"][0].config
    source = open_source(options.data, config)
    result: dict[str, Any] = {"task": "rows", "data": source.name, "probe_values": VALUES}
    result |= {"random": _probe(random_backbone(config), source), "rows": {}}
    for name, (run, steps) in runs.items():
        row = judge(name, run, source)
        result["rows"][name] = row | {"steps": steps or row["steps_planned"]}
        write_json(options.out, result | provenance(command))
    print(table(result))


if __name__ == "__main__":
    main()
