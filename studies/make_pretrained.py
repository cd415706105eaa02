"""Put a run's backbone into the package, with a card: tf_spot/pretrained/NAME.npz and NAME.json.

    python studies/make_pretrained.py RUN NAME --data SPEC --licence TEXT [--limit TEXT ...]

SPEC has labels and a test split. A linear probe of every layer is made twice, with the weights as they are and rounded
to float16. The file has float16 if no layer's accuracy changes by more than `MOST_CHANGE`, else float32. The card holds
both probes, the data and their licence, the command, the cost of the training, and the limits.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.data import Source, open_source  # noqa: E402
from tf_spot.evaluation import linear_probe  # noqa: E402
from tf_spot.models.backbones import Backbone  # noqa: E402
from tf_spot.runs.load import load_spotter  # noqa: E402
from tf_spot.runs.pretrained import write_pretrained  # noqa: E402
from tf_spot.runs.run import Run  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

MOST_CHANGE = 0.2  # points of accuracy; a fraction of the standard error of a test set of thousands of photos
BATCH = 64


def rounded(backbone: Backbone) -> Backbone:
    """Return a copy whose weights have the precision of float16."""
    copy = backbone.cut(len(backbone.stages))
    copy.set_weights([value.astype(np.float16).astype(np.float32) for value in backbone.get_weights()])
    return copy


def probe(backbone: Backbone, source: Source, num_values: int) -> dict[str, Any]:
    """Return the linear probe of every layer, in percent, and its standard error."""
    train, test = (source.labelled(split, BATCH) for split in ("train", "test"))
    found = linear_probe(backbone, train, test, num_values=num_values)
    return {name: found[name] for name in ("by_layer", "stderr", "train_images", "test_images")}


def choose_dtype(exact: dict[str, float], rough: dict[str, float]) -> str:
    """Return `float16` if no layer's accuracy changes by more than `MOST_CHANGE`, else `float32`."""
    return "float16" if all(abs(exact[name] - rough[name]) <= MOST_CHANGE for name in exact) else "float32"


def make(
    path: Path, name: str, spec: str, licence: str, limits: list[str], num_values: int, command: str | None = None
) -> dict[str, Any]:
    """Write both files and return the card."""
    run = Run(path)
    config, backbone, source = run.config, load_spotter(run).backbone, open_source(spec, run.config)
    figures = {"float32": probe(backbone, source, num_values), "float16": probe(rounded(backbone), source, num_values)}
    made_by = shlex.join(["python", "studies/make_pretrained.py", *sys.argv[1:]])
    trained_by = run.versions
    facts = {
        "data": {key: run.data[key] for key in ("name", "counts", "fingerprint")},
        "licence": licence,
        "config": config.to_dict(),
        "command": command or run.command,
        "cost": run.spent() | {key: trained_by[key] for key in ("cpus", "platform")},
        "figures": {"task": "linear", "data": source.name, "num_values": num_values} | figures,
        "limits": [
            f"trained on photos of {config.data.image_size} pixels a side, without labels; for others resize them",
            *limits,
        ],
        "made": provenance(made_by),
    }
    dtype = choose_dtype(*(figures[name]["by_layer"] for name in ("float32", "float16")))
    return write_pretrained(name, backbone, config.data.image_size, dtype, facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path)
    parser.add_argument("name", metavar="NAME", help="of the files, such as small-imagenette96")
    parser.add_argument("--data", metavar="SPEC", required=True, help="labelled photos with a test split")
    parser.add_argument("--licence", metavar="TEXT", required=True, help="of the photos that RUN was trained on")
    parser.add_argument("--limit", metavar="TEXT", action="append", default=[], help="what the weights are not for")
    parser.add_argument("--trained-by", metavar="TEXT", help="the training's command (the one that RUN records)")
    parser.add_argument("--num-values", metavar="N", type=int, default=9_000, help="of the probe (9000)")
    options = parser.parse_args()
    card = make(
        options.run,
        options.name,
        options.data,
        options.licence,
        options.limit,
        options.num_values,
        options.trained_by,
    )
    print(json.dumps({key: card[key] for key in ("name", "dtype", "bytes", "sha256", "figures")}, indent=2))


if __name__ == "__main__":
    main()
