"""What becomes of the game when the autoencoder copies better, or the game is longer: results/copies.json.

    python studies/copies.py --data SPEC RUN...

The runs differ in the steps of their two stages. For every one: how well it copies test photos, how well the damage is
hidden (`tf-spot evaluate --task repair`), and a linear probe of conv1 to conv5 (`--task linear`).
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.config import LAYERS  # noqa: E402
from tf_spot.evaluation.evaluate_run import evaluate_run  # noqa: E402
from tf_spot.progress import show_progress  # noqa: E402
from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

VALUES = 2_048  # per layer, of the probe


def measure(path: Path, spec: str) -> dict[str, Any]:
    """Return the recipe of a run, how well it copies and hides, and its probe."""
    with show_progress() as on_progress:
        repair = evaluate_run(path, spec, "repair", on_progress=on_progress)
        linear = evaluate_run(path, spec, "linear", num_values=VALUES, on_progress=on_progress)
    return {
        "data": repair["data"],
        "config": repair["config"],
        "autoencoder": repair["autoencoder"],
        "kinds": repair["kinds"],
        "probe": {name: linear[name] for name in ("by_layer", "stderr", "train_images", "test_images")},
    }


def table(result: dict[str, Any]) -> str:
    """Return a line per run, in the order of how well its autoencoder copies."""
    runs = sorted(
        result["runs"], key=lambda run: (run["autoencoder"]["psnr"], run["config"]["training"]["spotter_steps"])
    )
    first = runs[0]["config"]
    lines = [
        f"{runs[0]['data']}, {first['data']['image_size']} pixels, batches of {first['training']['batch_size']}",
        f"{'autoencoder':>17}{'game':>10}{'critic AUC':>16}{'patches':>12}   linear probe, percent",
        f"  steps    dB  detail   steps  damaged  repaired  repaired  {'  '.join(LAYERS)}",
    ]
    for run in runs:
        copies, damaged, repaired = run["autoencoder"], run["kinds"]["unrepaired"], run["kinds"]["repaired"]
        training = run["config"]["training"]
        lines.append(
            f"{training['autoencoder_steps']:7,}{copies['psnr']:6.1f}{copies['laplacian_share']:8.0%}"
            f"{training['spotter_steps']:8,}{damaged['critic_auc']:9.3f}{repaired['critic_auc']:10.3f}"
            f"{repaired['patch_distance']:10.3f}" + "".join(f"{run['probe']['by_layer'][name]:7.1f}" for name in LAYERS)
        )
    critic = max(run["kinds"]["repaired"]["critic_stderr"] for run in runs)
    probe = max(run["probe"]["stderr"] for run in runs)
    lines += [
        f"standard errors: {critic:.3f} of the AUC, {probe:.1f} of the probe",
        "detail: the share of the Laplacian energy; patches: their distance to decoded ones",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path)
    parser.add_argument("--data", metavar="SPEC", required=True)
    options = parser.parse_args()
    result = {"task": "copies", "probe_values": VALUES, "runs": [measure(path, options.data) for path in options.runs]}
    command = shlex.join(["python", "studies/copies.py", *sys.argv[1:]])
    write_json(ROOT / "results" / "copies.json", result | provenance(command))
    print(table(result))


if __name__ == "__main__":
    main()
