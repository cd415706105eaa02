"""The tasks of `tf-spot evaluate`: what runs each, on which data, and which options it takes.

The only list of tasks. The command line takes its choices and groups of options from it, so TensorFlow is not imported
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

from tf_spot.config import FinetuneConfig, FinetuneNorms
from tf_spot.errors import UserError

SOLVERS = ("ridge", "sgd")  # of the linear probe
POOLINGS = ("average", "max")
_RECIPE = tuple(field.name for field in fields(FinetuneConfig))


class Task(NamedTuple):
    """One task."""

    runner: str  # function in `protocols` that runs it on an opened run
    summary: str  # for --help
    options: tuple[str, ...]  # that it takes: fields of `Options` and of `FinetuneConfig`
    data: Literal["photos", "stl10", "voc"] = "photos"  # how its photos are opened
    trains: bool = False  # networks, on one device


@dataclass(frozen=True)
class Options:
    """Options of the tasks, besides those of a `FinetuneConfig`. Each belongs to some tasks only, see `TASKS`."""

    layers: tuple[str, ...] | None = None  # to probe; None: all
    num_values: int = 9_000  # about how many a layer is pooled to (paper, Tables 4 and 5)
    pooling: str = "average"  # one of `POOLINGS`
    solver: str | None = None  # one of `SOLVERS`; None: ridge
    epochs: int | None = None  # of the solver sgd, or of what is trained with labels; None: the task's own
    norms: FinetuneNorms | None = None  # moments of batch norm: of the photos, or frozen; None: the task's own
    finetuned: bool = True  # False: frozen layers only
    folds: bool = False  # True: STL-10's ten folds, one after the other; False: all training labels at once
    scales: tuple[int, ...] | None = None  # pixels, shorter sides of the photos in training; None: from test_scale
    test_scale: int | None = None  # pixels, shorter side of the photos in the test; None: twice the run's image size
    num_images: int = 2_560  # test photos, at most


TASKS = {
    "linear": Task(
        "run_probe",
        "one linear classifier per frozen layer",
        ("layers", "num_values", "pooling", "solver", "epochs", "norms"),
    ),
    "knn": Task("run_probe", "nearest neighbours by each frozen layer", ("layers", "num_values", "pooling", "norms")),
    "finetune": Task(
        "run_finetune", "a classifier and the top convolutions, trained with labels", _RECIPE, trains=True
    ),
    "stl10": Task(
        "run_stl10",
        "STL-10's ten folds: classifiers of frozen layers, and the whole network trained",
        ("layers", "finetuned", *_RECIPE),
        data="stl10",
        trains=True,
    ),
    "transfer": Task(
        "run_transfer",
        "the authors' protocol: linear on frozen conv5, and all finetuned",
        ("epochs", "finetuned", "folds"),
        trains=True,
    ),
    "voc-classification": Task(
        "run_voc_classification", "PASCAL VOC: the classes in a photo", _RECIPE, data="voc", trains=True
    ),
    "voc-detection": Task(  # all epochs are trained, by steps of two photos
        "run_voc_detection",
        "PASCAL VOC: Fast R-CNN on the network",
        ("scales", "test_scale", *(name for name in _RECIPE if name not in ("patience", "batch_size"))),
        data="voc",
        trains=True,
    ),
    "voc-segmentation": Task(  # every layer is trained
        "run_voc_segmentation",
        "PASCAL VOC: the class of every pixel",
        tuple(name for name in _RECIPE if name not in ("trained_layers", "rescale")),
        data="voc",
        trains=True,
    ),
    "repair": Task("run_repair", "how well dropped cells are hidden from fresh critics", ("num_images",), trains=True),
}
RECIPE_TASKS = tuple(name for name, task in TASKS.items() if "learning_rate" in task.options)  # that read a recipe
PROBES = tuple(name for name, task in TASKS.items() if not task.trains)


def taking(option: str) -> tuple[str, ...]:
    """Return the names of the tasks that take an option."""
    return tuple(name for name, task in TASKS.items() if option in task.options)


def flag(option: str) -> str:
    """Return an option as it is typed: `test_scale` as `--test-scale`."""
    return "--frozen-only" if option == "finetuned" else f"--{option.replace('_', '-')}"


def check_task(name: str, options: Options, recipe: FinetuneConfig) -> None:
    """Check that there is a task of that name and that the options belong to it.

    Raises:
        UserError: an unknown task, an option that it does not take, other than at its default, or a changed recipe for
            a task that trains by its own, or trains nothing.
    """
    if name not in TASKS:
        raise UserError(f"unknown task; allowed: {', '.join(TASKS)}; received: {name}")
    changed = _changed(recipe)
    # `epochs` and `norms` are options of further tasks, which do not read the recipe.
    if changed and name not in RECIPE_TASKS and changed.keys() <= set(TASKS[name].options):
        own = ", ".join(f"{option}={value!r}" for option, value in sorted(changed.items()))
        raise UserError(
            f"a recipe goes with task {', '.join(RECIPE_TASKS)}; received: a recipe with {own} for task {name}; give "
            f"{own} as an argument of its own"
        )
    for option in sorted(changed_settings(options, recipe)):
        if option not in TASKS[name].options:
            raise UserError(
                f"{flag(option)} goes with --task {', '.join(taking(option))}; received: --task {name}; "
                f"leave out {flag(option)}"
            )


def changed_settings(options: Options, recipe: FinetuneConfig) -> dict[str, object]:
    """Return the settings that are not at their defaults, by name, as values that JSON can hold."""
    changed = {**_changed(options), **_changed(recipe)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}


def _changed(chosen: Options | FinetuneConfig) -> Mapping[str, object]:
    """Return the fields that are not at their defaults."""
    values = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
    return {name: value for name, value in values.items() if value != getattr(type(chosen), name)}
