"""Measure what the mask head can see, and what that costs in features: results/mask-head.json.

    python studies/mask_head.py --data SPEC RUN...

For every run: the fields of its recipe that were varied, the held-out mask AUC of each epoch (from metrics.jsonl), and
a linear probe of conv1 to conv5 fitted to four fifths of the training labels and tested on the others. The test split
is not read, so a recipe may be chosen by these metrics.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.data import open_source  # noqa: E402
from tf_spot.evaluation import held_out_probe  # noqa: E402
from tf_spot.runs.load import load_spotter  # noqa: E402
from tf_spot.runs.run import Run  # noqa: E402
from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

VALUES = 2_048
FIELDS = (
    "game.drop_rate",
    "game.fill",
    "game.repair_mask_loss",
    "training.repair_learning_rate",
    "training.spotter_steps",
)


def measure(path: Path, spec: str) -> dict[str, Any]:
    """Return the curve and the probe of one run."""
    run = Run(path)
    config = run.config
    source = open_source(spec, config)
    probe = held_out_probe(load_spotter(run).backbone, source, num_values=VALUES)
    epochs = [line for line in run.metrics() if line["stage"] == "spotter"]
    nested = config.to_dict()
    return {
        "recipe": {name: nested[name.split(".")[0]][name.split(".")[1]] for name in FIELDS},
        "curve": [{name: line[name] for name in ("step", "held_out_mask_auc", "mask_loss")} for line in epochs],
        "mask_auc": epochs[-1]["held_out_mask_auc"],
        "probe": {name: probe[name] for name in ("value", "stderr", "by_layer", "train_images", "test_images")},
        "config": nested,
        "seconds": run.spent()["spotter"]["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path)
    parser.add_argument("--data", metavar="SPEC", required=True)
    options = parser.parse_args()
    rows = [measure(path, options.data) for path in options.runs]
    record = {"task": "mask-head", "metric": "held_out_mask_auc", "probe_values": VALUES, "runs": rows}
    command = shlex.join(["python", "studies/mask_head.py", *sys.argv[1:]])
    write_json(ROOT / "results" / "mask-head.json", record | provenance(command))
    for row in rows:
        print(row["recipe"], f"{row['mask_auc']:.3f}", row["probe"]["by_layer"])


if __name__ == "__main__":
    main()
