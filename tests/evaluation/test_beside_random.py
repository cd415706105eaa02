"""A training beside the same training from random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.support.evaluation_data import narrow_backbone
from tf_spot.evaluation.beside_random import beside_random, start_of, untrained
from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.evaluation.work_progress import WorkProgress


def test_starts_are_a_copy_and_other_weights() -> None:
    backbone = narrow_backbone()
    spot, random, again, other = (
        start_of("spot", backbone, 0), start_of("random", backbone, 7), untrained(backbone, 7), untrained(backbone, 8)
    )  # fmt: skip
    assert spot is not backbone
    for ours, theirs in zip(spot.get_weights(), backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [w.shape for w in random.get_weights()] == [w.shape for w in backbone.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(random.get_weights(), again.get_weights(), strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(random.get_weights(), other.get_weights(), strict=True))
    assert not np.array_equal(random.get_weights()[0], backbone.get_weights()[0])


def test_both_methods_are_done_once_and_random_stands_beside(tmp_path: Path) -> None:
    done: list[str] = []
    told: list[tuple[int, int, str]] = []

    def train_and_test(method: str) -> dict[str, Any]:
        done.append(method)
        return {"value": len(done)}

    for _ in range(2):
        progress = WorkProgress(lambda *line: told.append(line), rounds=2, round_size=1)
        found = beside_random(
            ResultCache(tmp_path, {}), progress, train_and_test, lambda method, result: result | {"method": method}
        )
        assert found == {"value": 1, "method": "spot", "rivals": {"random": {"value": 2, "method": "random"}}}
    assert done == ["spot", "random"] and told[-1][:2] == (2, 2)
