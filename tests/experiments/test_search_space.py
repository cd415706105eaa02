"""The fields of a search and the recipe of a trial."""

from __future__ import annotations

from tf_spot.config import preset
from tf_spot.experiments.search_space import SPACES, recipe

CONFIG = preset("tiny").replace(**{"training.steps_per_epoch": 1})


def test_spaces_name_fields_of_the_configuration() -> None:
    known = CONFIG.to_dict()
    for fields in SPACES.values():
        assert all(name.split(".")[1] in known[name.split(".")[0]] for name in fields)


def test_every_value_of_a_grid_is_allowed_and_in_its_range() -> None:
    for fields in SPACES.values():
        for name, field in fields.items():
            for value in field.grid:
                recipe(CONFIG, {name: value}, seed=0)
                assert field.between is None or field.between.low <= value <= field.between.high


def test_a_recipe_has_the_trials_values_and_length() -> None:
    changed = recipe(CONFIG, {"game.drop_rate": 0.30000000000000004, "tuner/epochs": 5, "tuner/bracket": 1}, seed=7)
    assert (changed.game.drop_rate, changed.training.seed, changed.training.spotter_steps) == (0.3, 7, 5)
