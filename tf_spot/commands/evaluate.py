"""`tf-spot evaluate`: what the learned features are worth, beside rivals."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tf_spot.commands.shared_options import DONE, Subcommands, add_device_options, add_subcommand

PROBES = ("linear", "knn")
PROTOCOLS = ("finetune", "stl10", "voc-classification", "voc-detection", "voc-segmentation")
RECIPE = {  # of what is trained with labels: type, help; the defaults are those of `Recipe`
    "trained_layers": (int, "convolutions trained besides the head, from the top; 0: the head alone (5)"),
    "epochs": (int, "at most (12); of --solver sgd (100)"),
    "patience": (int, "epochs without a better held-out score before training ends (5)"),
    "learning_rate": (float, "of Adam at the start (0.001)"),
    "norms": (str, "batch norm while training: adapt or frozen (adapt)"),
}


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(subcommands, "evaluate", run, "what the learned features are worth, beside rivals")
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder")
    parser.add_argument("--data", metavar="SPEC", required=True, help="labelled photos with a test split")
    parser.add_argument("--task", required=True, choices=[*PROBES, *PROTOCOLS], help="see docs/protocols.md")
    parser.add_argument("--layers", metavar="CONV1,...", help="layers to probe (default: conv1 to conv5)")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the result here too, as JSON")
    parser.add_argument("--num-values", metavar="N", type=int, default=9_000, help="values a layer is pooled to (9000)")
    parser.add_argument("--pooling", choices=["average", "max"], default="average", help="how (average)")
    parser.add_argument(
        "--solver", choices=["ridge", "sgd"], help="linear: closed form, or SGD by a published schedule (ridge)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the held-out labels and random rival (0)")
    training = parser.add_argument_group("tasks that train with labels")
    for name, (kind, says) in RECIPE.items():
        metavar = "KIND" if kind is str else "N" if kind is int else "X"
        training.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, type=kind, help=says)
    training.add_argument("--rescale", action="store_true", help="first rescale every channel to fit the photos")
    training.add_argument("--frozen-only", action="store_true", help="stl10: leave out the finetuned networks")
    training.add_argument(
        "--scales",
        metavar="N,...",
        type=_numbers,
        help="voc-detection: shorter sides of the photos in training (3/4, 1 and 5/4 of the test's)",
    )
    training.add_argument(
        "--test-scale", metavar="N", type=int, help="voc-detection: in the test (twice the run's image size)"
    )
    add_device_options(parser)


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be whole numbers like 96,128; received: {text}") from error


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from tf_spot.distributed.strategies import is_chief, leave, lost_workers, make_strategy
    from tf_spot.evaluation import format_table
    from tf_spot.progress import show_progress
    from tf_spot.storage.files import write_json

    strategy = make_strategy(options.strategy, options.wait)  # that of several workers must come first of all
    with lost_workers(strategy), strategy.scope(), show_progress() as on_progress:
        result = (_protocol if options.task in PROTOCOLS else _probe)(options, on_progress)
        leave(strategy)
    if options.out and is_chief(strategy):
        write_json(options.out, result)
    print(format_table(result))
    if options.task in PROBES:
        auc = result["mask_auc"]
        print(f"mask AUC on test images: {'no mask head' if auc is None else f'{auc:.3f}'}")
    return result, DONE


def _probe(options: argparse.Namespace, on_progress: Any) -> dict[str, Any]:
    from tf_spot.evaluation.evaluate_run import evaluate_run

    return evaluate_run(
        options.run,
        options.data,
        options.task,
        layers=options.layers.split(",") if options.layers else None,
        num_values=options.num_values,
        pooling=options.pooling,
        solver=options.solver,
        epochs=options.epochs,
        seed=options.seed,
        on_progress=on_progress,
    )


def _protocol(options: argparse.Namespace, on_progress: Any) -> dict[str, Any]:
    from tf_spot.evaluation.finetune import Recipe
    from tf_spot.evaluation.protocols import run_protocol

    given = {name: value for name in RECIPE if (value := getattr(options, name)) is not None}
    return run_protocol(
        options.run,
        options.data,
        options.task,
        Recipe(rescale=options.rescale, **given),
        layers=options.layers.split(",") if options.layers else None,
        finetuned=not options.frozen_only,
        scales=options.scales,
        test_scale=options.test_scale,
        seed=options.seed,
        on_progress=on_progress,
    )
