"""The one list of tasks: what runs each, and which options belong to it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from tf_spot.config import FinetuneConfig
from tf_spot.errors import UserError
from tf_spot.evaluation.tasks import PROBES, RECIPE_TASKS, TASKS, Options, changed_settings, check_task, flag, taking


def test_every_option_belongs_to_a_task_and_every_task_takes_known_ones() -> None:
    known = {field.name for kind in (Options, FinetuneConfig) for field in dataclasses.fields(kind)}
    assert {option for task in TASKS.values() for option in task.options} == known
    assert PROBES == ("linear", "knn")
    assert RECIPE_TASKS == ("finetune", "stl10", "voc-classification", "voc-detection", "voc-segmentation")
    assert taking("test_scale") == ("voc-detection",) and taking("solver") == ("linear",)
    assert (flag("test_scale"), flag("finetuned")) == ("--test-scale", "--frozen-only")


def test_settings_are_told_where_they_are_not_at_their_defaults() -> None:
    assert changed_settings(Options(), FinetuneConfig()) == {}
    found = changed_settings(Options(layers=("conv1",), folds=True), FinetuneConfig(epochs=3))
    assert found == {"layers": ["conv1"], "folds": True, "epochs": 3}


@pytest.mark.parametrize(
    ("task", "options", "recipe", "says"),
    [
        ("knn", {"solver": "sgd"}, {}, "--solver goes with --task linear; received: --task knn; leave out --solver"),
        ("voc-segmentation", {"test_scale": 64}, {}, "--test-scale goes with --task voc-detection; received: --task v"),
        ("voc-segmentation", {}, {"rescale": True}, "leave out --rescale"),
        ("voc-segmentation", {}, {"trained_layers": 4}, "leave out --trained-layers"),
        ("voc-detection", {}, {"patience": 1}, "leave out --patience"),
        ("finetune", {"layers": ("conv1",)}, {}, "--layers goes with --task linear, knn, stl10; received: --task fine"),
        ("finetune", {"finetuned": False}, {}, "--frozen-only goes with --task stl10, transfer"),
        ("stl10", {"folds": True}, {}, "--folds goes with --task transfer; received: --task stl10"),
        ("linear", {}, {"learning_rate": 0.1}, "leave out --learning-rate"),
        ("linear", {"num_images": 99}, {}, "--num-images goes with --task repair; received: --task linear"),
        ("repair", {}, {"patience": 1}, "leave out --patience"),
        (
            "transfer",
            {},
            {"epochs": 3},
            "received: a recipe with epochs=3 for task transfer; give epochs=3",
        ),
        (
            "linear",
            {},
            {"epochs": 3, "norms": "frozen"},
            "recipe with epochs=3, norms='frozen' for task linear",
        ),
        ("knn", {"norms": "adapt"}, {"norms": "frozen"}, "recipe with norms='frozen' for task knn"),
        ("transfer", {}, {"epochs": 3, "patience": 1}, "leave out --patience"),
        ("colour", {}, {}, "allowed: linear, knn, finetune, stl10, .*; received: colour"),
    ],
)
def test_options_of_other_tasks_are_refused(
    task: str, options: dict[str, Any], recipe: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        check_task(task, Options(**options), FinetuneConfig(**recipe))


def test_options_at_their_defaults_fit_every_task() -> None:
    for task in TASKS:
        check_task(task, Options(pooling="average", num_values=9_000), FinetuneConfig(patience=5))
    check_task(
        "linear", Options(layers=("conv1",), solver="sgd", epochs=3, num_values=10, pooling="max"), FinetuneConfig()
    )


def test_the_list_is_read_without_tensorflow() -> None:
    code = "import sys, tf_spot.evaluation.tasks; print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
