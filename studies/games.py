"""What critics see after games that differ in one field: python studies/games.py --data NAME --out FILE RUN...

NAME is that of the photos, as in the result files. The first run is the game as it is. Every run is evaluated before:

    tf-spot evaluate RUN --data SPEC --task repair
    tf-spot evaluate RUN --data SPEC --task linear --num-values 2048
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.errors import UserError  # noqa: E402
from tf_spot.fields import differences  # noqa: E402
from tf_spot.runs.run import Run  # noqa: E402
from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.json_files import read_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

REPAIR = ("autoencoder", "critic", "kinds", "command", "commit")
PROBE = ("by_layer", "stderr", "train_images", "test_images", "command", "commit")


def gather(path: Path, data: str) -> dict[str, Any]:
    """Return the recipe of a run, how well it hides, and its probe."""
    run = Run(path)
    found = {"config": run.config.to_dict()}
    for name, fields in (("repair", REPAIR), ("linear", PROBE)):
        file = run.path / "results" / f"{name}-{data}.json"
        if not file.is_file():
            raise UserError(f"every run must have been evaluated, as --help says; received: {path}, without {file}")
        result = read_json(file, dict.fromkeys(fields, object))
        found[name] = {field: result[field] for field in fields}
    return found


def differs(config: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    """Return what a recipe has that the first one has not, as for --set."""
    return " ".join(f"{name}={value}" for name, (_, value) in differences(first, config).items())


def table(result: dict[str, Any]) -> str:
    """Return a line per run."""
    runs = result["runs"]
    first = runs[0]["config"]
    training = first["training"]
    names = [differs(run["config"], first) or "the game as it is" for run in runs]
    width = 2 + max(map(len, names))
    lines = [
        f"{result['data']}, {first['data']['image_size']} pixels, {training['spotter_steps']:,} steps of "
        f"{training['batch_size']} photos",
        f"{'':{width}}{'critic AUC':>13}{'patches':>9}{'grey':>6}{'conv5':>7}",
    ]
    for name, run in zip(names, runs, strict=True):
        repaired = run["repair"]["kinds"]["repaired"]
        lines.append(
            f"{name:{width}}{repaired['critic_auc']:5.3f} ± {repaired['critic_stderr']:.3f}"
            f"{repaired['patch_distance']:9.3f}{repaired['brightness_shift']:+6.1f}{run['linear']['by_layer']['conv5']:7.1f}"
        )
    damaged = [run["repair"]["kinds"]["unrepaired"]["critic_auc"] for run in runs]
    lines.append(f"unrepaired: critic AUC {min(damaged):.3f} to {max(damaged):.3f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path)
    parser.add_argument("--data", metavar="NAME", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    runs = [gather(path, options.data) for path in options.runs]
    result = {"task": "games", "data": options.data, "runs": runs}
    write_json(options.out, result | provenance(shlex.join(["python", "studies/games.py", *sys.argv[1:]])))
    print(table(result))


if __name__ == "__main__":
    main()
