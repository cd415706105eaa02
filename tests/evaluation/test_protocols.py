"""How tasks run on an opened run."""

from __future__ import annotations

import dataclasses
import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tf_spot.config import TransferConfig
from tf_spot.evaluation import protocols
from tf_spot.evaluation.tasks import TASKS, Options


def test_every_task_has_a_function_that_takes_a_job() -> None:
    for task in TASKS.values():
        (job,) = inspect.signature(getattr(protocols, task.runner)).parameters.values()
        assert job.annotation == "Job"


@pytest.mark.parametrize(("workers", "kept"), [(1, "cache"), (2, None)])
def test_several_workers_skip_nothing_that_is_cached(
    workers: int, kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(protocols, "num_workers", lambda strategy: workers)
    monkeypatch.setattr(protocols, "game_signals", lambda spotter, images: {"held_out_mask_auc": 0.75})
    monkeypatch.setattr(
        protocols, "evaluate_task", lambda task, **words: given.update(words, task=task) or {"value": 1}
    )
    job = protocols.Job(
        task="knn",
        subject=SimpleNamespace(backbone="b", autoencoder="a", spotter="s"),
        source=SimpleNamespace(images=lambda split, batch_size: np.zeros((1, 2, 2, 3))),
        options=Options(layers=("conv2",), num_values=7, pooling="max"),
        recipe=None,
        seed=3,
        batch_size=5,
        cache="cache",
        on_progress=None,
    )
    assert protocols.run_probe(job) == {"value": 1, "mask_auc": 0.75}
    assert given["cache"] == kept
    assert (given["task"], given["backbone"], given["layers"], given["num_values"]) == ("knn", "b", ("conv2",), 7)
    assert (given["pooling"], given["seed"], given["batch_size"]) == ("max", 3, 5)
    assert given["norms"] == "frozen", "the probes' default; that of training with labels is adapt"
    protocols.run_probe(dataclasses.replace(job, options=Options(norms="adapt")))
    assert given["norms"] == "adapt"


@pytest.mark.parametrize(("epochs", "recipe"), [(None, TransferConfig()), (3, TransferConfig(epochs=3))])
def test_transfer_takes_its_own_recipe(
    epochs: int | None, recipe: TransferConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(protocols, "transfer", lambda *arguments, **words: given.append((arguments, words)) or {})
    options = Options(epochs=epochs, folds=True, finetuned=False)
    subject = SimpleNamespace(backbone="b")
    protocols.run_transfer(protocols.Job("transfer", subject, "s", options, "other", 3, 5, "cache", None))
    ((arguments, words),) = given
    assert arguments == ("b", "s", recipe, "cache")
    assert words == {"folds": True, "finetuned": False, "seed": 3, "on_progress": None}
