"""Threads share an amount of memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tf_spot.data.memory_budget import MemoryBudget


def test_no_more_is_held_than_there_is() -> None:
    budget, lock = MemoryBudget(100), threading.Lock()
    held, largest = 0, 0

    def work(amount: int) -> None:
        nonlocal held, largest
        with budget.hold(amount):
            with lock:
                held += amount
                largest = max(largest, held)
            with lock:
                held -= amount

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [1, 30, 100, 70, 60, 100, 5] * 60))
    assert 60 <= largest <= 100 and held == 0


def test_a_large_one_is_not_overtaken() -> None:
    """A small one that comes after it waits, though there would be room."""
    budget, order = MemoryBudget(10), list[str]()

    def work(name: str, amount: int) -> None:
        with budget.hold(amount):
            order.append(name)

    with budget.hold(5):
        large = threading.Thread(target=work, args=("large", 10))
        large.start()
        while not budget._turn.locked():
            pass
        small = threading.Thread(target=work, args=("small", 1))
        small.start()
    large.join()
    small.join()
    assert order == ["large", "small"]


def test_what_failed_holds_nothing() -> None:
    budget = MemoryBudget(10)
    for _ in range(3):
        try:
            with budget.hold(10):
                raise ValueError
        except ValueError:
            pass
    with budget.hold(10):
        pass
