"""The budget of a comparison: its forms, the steps that it allows, the clock."""

from __future__ import annotations

import keras
import pytest

from tests.support.comparison_recipe import CONFIG
from tf_spot.data import Source
from tf_spot.errors import UserError
from tf_spot.experiments.budget import Budget, StopByClock, two_stages, whole_steps
from tf_spot.training.position import Position


def test_a_budget_is_one_thing_above_nothing() -> None:
    for wrong in ({"images": 0}, {"seconds": -1.0}, {"images": 10, "seconds": 1.0}):
        with pytest.raises(UserError, match="be either a number of images or a number of seconds"):
            Budget(**wrong)


def test_a_budget_names_its_unit() -> None:
    assert str(Budget(images=96_000)) == "96,000 images" and str(Budget(seconds=1.5)) == "1.5 seconds"


def test_without_a_budget_the_recipe_gives_the_images() -> None:
    """100 and 300 steps of four images."""
    assert Budget().or_recipe(CONFIG.training) == Budget(images=1600)
    assert Budget(seconds=3.0).or_recipe(CONFIG.training) == Budget(seconds=3.0)
    assert Budget(images=29).or_recipe(CONFIG.training) == Budget(images=29)
    with pytest.raises(UserError, match="two batches at least, here 8 images; received: 7"):
        Budget(images=7).or_recipe(CONFIG.training)


def test_a_rest_that_fills_no_batch_is_not_spent() -> None:
    assert whole_steps(29, CONFIG.training) == 7 and whole_steps(8, CONFIG.training) == 2


def test_two_stages_share_a_budget_of_images(source: Source) -> None:
    training = two_stages(CONFIG, Budget(images=4_000), source).training
    assert (training.autoencoder_steps, training.spotter_steps) == (250, 750)


@pytest.mark.slow
def test_two_stages_share_a_budget_of_seconds(source: Source) -> None:
    """The proportion of the recipe stays."""
    training = two_stages(CONFIG, Budget(seconds=60.0), source).training
    assert training.spotter_steps / training.autoencoder_steps == pytest.approx(3, rel=0.05)
    assert 100 < training.spotter_steps < 60_000


def test_the_clock_stops_a_training() -> None:
    position, told = Position("rotation", 10**9, 5, 4, step=7, seconds=1.9, rate=3.0), []
    clock = StopByClock(position, 2.0, lambda *words: told.append(words))
    clock.set_model(keras.Sequential())
    clock.model.stop_training = False
    clock.on_train_batch_end(0)
    assert not clock.model.stop_training and position.total_steps == 10**9
    position.seconds = 2.1
    clock.on_train_batch_end(1)
    assert clock.model.stop_training and position.total_steps == 7
    assert told == [(2, 2, "rotation seconds (3 images/s)")] * 2
