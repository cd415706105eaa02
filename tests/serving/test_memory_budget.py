"""A bound on what all requests hold together."""

import pytest

from tf_spot.serving.errors import ServingError
from tf_spot.serving.memory_budget import ALWAYS_ALLOWED, MemoryBudget

LARGE = ALWAYS_ALLOWED + 1


def test_large_requests_share_the_budget_and_give_back() -> None:
    budget = MemoryBudget(2 * LARGE)
    with budget.share() as first:
        first.take(LARGE)
        with budget.share() as second:
            second.take(LARGE)
            with pytest.raises(ServingError, match=f"hold {2 * LARGE} of {2 * LARGE} bytes") as caught:
                second.take(1)
            assert caught.value.code == "RESOURCE_EXHAUSTED"
            first.give_back(1)
            second.take(1)
        assert budget.used == LARGE - 1
    assert budget.used == 0


def test_ordinary_requests_are_served_even_when_the_budget_is_full() -> None:
    budget = MemoryBudget(LARGE)
    with budget.share() as large, budget.share() as small:
        large.take(LARGE)
        small.take(ALWAYS_ALLOWED)
        with pytest.raises(ServingError):
            small.take(1)


def test_an_error_gives_back_too() -> None:
    budget = MemoryBudget(LARGE)
    with pytest.raises(KeyError), budget.share() as share:
        share.take(10)
        raise KeyError
    assert budget.used == 0
