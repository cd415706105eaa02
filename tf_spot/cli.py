"""The command line: `tf-spot VERB ...`.

TensorFlow takes seconds to import, so each verb imports what it needs when it runs. Results go to stdout; progress,
logs and errors to stderr.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tf_spot import __version__
from tf_spot.backend import require_tensorflow
from tf_spot.config import PRESETS, Config, preset
from tf_spot.errors import UserError

DONE, USER_ERROR, INTERRUPTED, TERMINATED = 0, 2, 130, 143


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb.

    Args:
        arguments: the words after `tf-spot`; by default those of the process.

    Returns:
        the exit code: 0 done, 2 the user's mistake, 130 after Ctrl-C, 143 after SIGTERM.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(name)s: %(message)s")
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        require_tensorflow()
        figures, code = options.verb(options)
    except UserError as error:
        if options.debug:
            traceback.print_exc()
        print(f"tf-spot: {' '.join(str(error).split())}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt as stop:  # also training's `Interrupted`, which knows its signal
        print(f"tf-spot: {stop or 'stopped by Ctrl-C'}", file=sys.stderr)
        return getattr(stop, "exit_code", INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, previous)
    if options.json:
        print(json.dumps(figures))
    return code


class _Terminated(KeyboardInterrupt):
    exit_code = TERMINATED


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated("stopped by SIGTERM")


# --- the verbs: options in, figures and exit code out -----------------------------------------------------------------


def _train(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    config = _config(options)
    from tf_spot.progress import progress
    from tf_spot.runs import Run
    from tf_spot.training import train

    plan = _plan(config, options)
    print(_tell(plan), file=sys.stderr)
    with progress() as sink:
        train(config, options.data, options.out, resume=options.resume, strict=options.strict, on_progress=sink)
    last = Run(options.out).metrics()[-1]
    print(_tell({"run": str(options.out)} | last))
    return {"run": str(options.out), "plan": plan, "last": last}, DONE


def _plan(config: Config, options: argparse.Namespace) -> dict[str, Any]:
    """What a training is going to do, in numbers."""
    from tf_spot.data import open_source
    from tf_spot.training import build_autoencoder, build_discriminator

    source = open_source(
        options.data,
        image_size=config.data.image_size,
        strict=options.strict,
        config=config.data,
        seed=config.training.seed,
    )
    autoencoder = build_autoencoder(config)
    return {
        "data": f"{source.name} ({source.spec})",
        "photos": source.count("unlabelled"),
        "preset": config.preset,
        "image_size": config.data.image_size,
        "cells": f"{autoencoder.grid_size} x {autoencoder.grid_size}",
        "batch_size": config.training.batch_size,
        "autoencoder_steps": config.training.autoencoder_steps,
        "spotter_steps": config.training.spotter_steps,
        "autoencoder_parameters": autoencoder.count_params(),
        "discriminator_parameters": build_discriminator(config).count_params(),
    }


def _tell(figures: dict[str, Any]) -> str:
    """One line a figure."""
    return "\n".join(f"{name.replace('_', ' '):26} {value}" for name, value in figures.items())


def _config(options: argparse.Namespace) -> Config:
    """The preset with its changes; with --resume the saved configuration, which the options may repeat."""
    saved_path = options.out / "config.json"
    if not (options.resume and saved_path.is_file()):
        return preset(options.preset or "stl10").override(options.set)
    saved = Config.load(saved_path)
    if options.preset not in (None, saved.preset):
        raise UserError(
            f"--resume goes on with the run's preset, {saved.preset}; received: --preset {options.preset}; leave it out"
        )
    return saved.override(options.set)


def _evaluate(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
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


def _demo(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from tf_spot.demo import demo
    from tf_spot.evaluation import format_table
    from tf_spot.progress import progress

    with progress() as sink:
        result = demo(options.out, sink)
    print(format_table(result))
    print(f"\nlook at {options.out / 'report.html'}: tables, curves, pictures, heat maps")
    return result, DONE


def _spot(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from tf_spot.spot import spot_files
    from tf_spot.training import load_spotter

    found = spot_files(load_spotter(options.run), options.images, options.out)
    for entry in found["images"]:
        print(f"score {entry['score']:.3f}  heat map {entry['heat_map_mean']:.3f}  {entry['path']}")
    for entry in found["failed"]:
        print(f"tf-spot: {entry['path']} cannot be read: {entry['reason']}", file=sys.stderr)
    return found, USER_ERROR if found["failed"] else DONE


def _report(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    from tf_spot.report import report

    path = report(options.run)
    print(path)
    return {"report": str(path)}, DONE


# --- the words --------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tf-spot", description="Learn image features without labels by spotting artifacts.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"tf-spot {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_demo(verbs)
    _add_train(verbs)
    _add_evaluate(verbs)
    _add_spot(verbs)
    _add_report(verbs)
    return parser


def _verb(verbs: Any, name: str, run: Callable[..., Any], says: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=says, description=says, allow_abbrev=False)
    parser.set_defaults(verb=run)
    parser.add_argument("--json", action="store_true", help="last line on stdout: every figure as one JSON object")
    parser.add_argument("--debug", action="store_true", help="show the Python trace of an error")
    return parser


def _add_demo(verbs: Any) -> None:
    parser = _verb(verbs, "demo", _demo, "the whole story on photos that ship with Python packages, in minutes")
    parser.add_argument("--out", metavar="RUN", type=Path, default=Path("demo"), help="run folder to write (demo)")


def _add_train(verbs: Any) -> None:
    parser = _verb(verbs, "train", _train, "train both stages on photos without labels")
    parser.add_argument("--data", metavar="SPEC", required=True, help="photos, folder:PATH, stl10:PATH or tfds:NAME")
    parser.add_argument("--out", metavar="RUN", type=Path, required=True, help="run folder to write")
    parser.add_argument("--preset", choices=list(PRESETS), help="recipe (default: stl10)")
    parser.add_argument(
        "--set", metavar="FIELD=VALUE", action="append", default=[], help="change a field: --set game.drop_rate=0.7"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN")
    parser.add_argument("--strict", action="store_true", help="an unreadable photo is an error")


def _add_evaluate(verbs: Any) -> None:
    parser = _verb(verbs, "evaluate", _evaluate, "what the learned features are worth, beside rivals")
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder")
    parser.add_argument("--data", metavar="SPEC", required=True, help="labelled photos with a test split")
    parser.add_argument("--task", required=True, choices=["linear", "knn"], help="the probe")
    parser.add_argument("--layers", metavar="CONV1,...", help="layers to probe (default: conv1 to conv5)")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the result here too, as JSON")
    parser.add_argument("--num-values", metavar="N", type=int, default=9_000, help="values a layer is pooled to (9000)")
    parser.add_argument("--pooling", choices=["average", "max"], default="average", help="how (average)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the held-out labels and random rival (0)")


def _add_spot(verbs: Any) -> None:
    parser = _verb(verbs, "spot", _spot, "artifact score and heat map of images")
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder")
    parser.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="image file")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for overlays and numbers")


def _add_report(verbs: Any) -> None:
    parser = _verb(verbs, "report", _report, "write RUN/report.html, one page that needs nothing but itself")
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder")
