"""The result of an evaluation as a table of plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

REPAIR_COLUMNS = ("critic AUC", "patch distance", "brightness", "PSNR")


def format_table(result: Mapping[str, Any]) -> str:
    """Return the metrics of a result file as a table: one row per method, of the task `repair` one per kind of image.

    One column per layer or measure, and the best layer where there is one; `±` is the deviation over folds. Encoding
    and pixels have one value each, under `best`. Below `random` stands the lead over it, in points.

    Args:
        result: of `evaluate_run` or `evaluate_task`.
    """
    if result["task"] == "repair":
        return "\n".join([*repair_says(result), *_aligned(REPAIR_COLUMNS, repair_rows(result))])
    layers, controls = list(result["by_layer"]), result["rivals"]
    best = ["best"] if "best_layer" in result else []
    spot, random = ([*metrics["by_layer"].values(), *(metrics["value"] for _ in best)]
                    for metrics in (result, controls["random"]))  # fmt: skip
    rows = {
        result["method"]: _cells(spot, result),
        "random": _cells(random, controls["random"]),
        "lead over random": [f"{ours - theirs:+.1f}" for ours, theirs in zip(spot, random, strict=True)],
    }
    for name, control in controls.items():
        if name != "random":
            rows[name] = [""] * len(layers) + [f"{control['value']:.1f}"]
    return "\n".join([_title(result), *_aligned([*layers, *best], rows)])


def repair_rows(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the cells of `REPAIR_COLUMNS` by kind of image, from a result of the task `repair`."""
    return {
        kind: [
            f"{metrics['critic_auc']:.3f} ± {metrics['critic_stderr']:.3f}",
            f"{metrics['patch_distance']:.3f}",
            f"{metrics['brightness_shift']:+.1f}",
            f"{metrics['psnr']:.1f}",
        ]
        for kind, metrics in result["kinds"].items()
    }


def repair_says(result: Mapping[str, Any]) -> list[str]:
    """Return the sentences that belong to `repair_rows`."""
    critic, autoencoder = result["critic"], result["autoencoder"]
    return [
        f"repair on {result['data']}: {result['test_images']:,} test images; "
        f"critic trained for {critic['steps']} steps on {critic['train_images']:,} of them",
        f"autoencoder: {autoencoder['psnr']:.1f} dB, {100 * autoencoder['laplacian_share']:.0f} % of the Laplacian "
        f"energy; patch distance of decoded images to themselves {result['patch_noise']:.3f}",
    ]


def _title(result: Mapping[str, Any]) -> str:
    return (
        f"{result['task']} on {result['data']}: {result['metric']} in {result['unit']}, standard error "
        f"{result['stderr']:.1f}; {result['train_images']:,} training and {result['test_images']:,} test images"
    )


def _aligned(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
    width = max(9, 2 + max(map(len, [*columns, *(cell for cells in rows.values() for cell in cells)])))
    head = f"{'':16}" + "".join(f"{name:>{width}}" for name in columns)
    return [head, *(f"{name:16}" + "".join(f"{cell:>{width}}" for cell in cells) for name, cells in rows.items())]


def _cells(values: Sequence[float], metrics: Mapping[str, Any]) -> list[str]:
    """Return values to one decimal, with their deviation over the folds where there are folds."""
    deviations = list(metrics.get("deviation", {}).values())
    return [f"{value:.1f}" + (f" ± {deviations[i]:.1f}" if i < len(deviations) else "")
            for i, value in enumerate(values)]  # fmt: skip
