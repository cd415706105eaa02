"""`tf-spot evaluate`: what the learned features are worth, beside rivals."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.commands.verb import DONE, verb


def add(verbs: Any) -> None:
    parser = verb(verbs, "evaluate", run, "what the learned features are worth, beside rivals")
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder")
    parser.add_argument("--data", metavar="SPEC", required=True, help="labelled photos with a test split")
    parser.add_argument("--task", required=True, choices=["linear", "knn"], help="the probe")
    parser.add_argument("--layers", metavar="CONV1,...", help="layers to probe (default: conv1 to conv5)")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the result here too, as JSON")
    parser.add_argument("--num-values", metavar="N", type=int, default=9_000, help="values a layer is pooled to (9000)")
    parser.add_argument("--pooling", choices=["average", "max"], default="average", help="how (average)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the held-out labels and random rival (0)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from tf_spot.evaluation import format_table
    from tf_spot.progress import progress
    from tf_spot.results import evaluate_run
    from tf_spot.runs import write_json

    with progress() as sink:
        result = evaluate_run(
            options.run,
            options.data,
            options.task,
            layers=options.layers.split(",") if options.layers else None,
            num_values=options.num_values,
            pooling=options.pooling,
            seed=options.seed,
            on_progress=sink,
        )
    if options.out:
        write_json(options.out, result)
    print(format_table(result))
    print(f"mask AUC on test images: {result['mask_auc'] or 'no mask head'}")
    return result, DONE
