"""What a training is going to do, in numbers, each announced once."""

from types import SimpleNamespace

from tests.support.tiny_recipe import TINY
from tf_spot.config import preset
from tf_spot.models.from_config import build_autoencoder
from tf_spot.training.plan import Plan, plan_of

CONFIG = preset("tiny").replace(**TINY | {"training.spotter_steps": 7})
SOURCE = SimpleNamespace(name="mine", spec="folder:mine", count={"unlabelled": 24}.__getitem__)


def test_what_is_known_before_training():
    assert plan_of(CONFIG, SOURCE) == {
        "data": "mine (folder:mine)",
        "photos": 24,
        "preset": "tiny",
        "image_size": 16,
        "cells": "4 x 4",
        "batch_size": 4,
        "precision": "float32",
        "autoencoder_steps": 2,
        "spotter_steps": 7,
    }


def test_cells_are_those_of_an_encoding():
    grid = build_autoencoder(CONFIG).grid_size
    assert plan_of(CONFIG, SOURCE)["cells"] == f"{grid} x {grid}"


def test_numbers_are_announced_once():
    announced = []
    plan = Plan(announced.append)
    model = SimpleNamespace(count_params=lambda: 9)
    plan.add({"photos": 24})
    plan.count("autoencoder", model)
    plan.count("autoencoder", model)
    plan.add({"photos": 24, "batch_size": 4})
    assert announced == [{"photos": 24}, {"autoencoder_parameters": 9}, {"batch_size": 4}]
    Plan().add({"photos": 24})  # nobody listens
