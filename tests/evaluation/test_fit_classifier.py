"""Training a classifier: what is held out, what is kept, what is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.evaluation_data import held, narrow_backbone
from tf_spot.errors import UserError
from tf_spot.evaluation.finetune import Recipe
from tf_spot.evaluation.fit_classifier import fit_classifier, share_correct


@pytest.mark.slow
def test_held_out_labels_choose_the_epoch_and_are_not_learnt() -> None:
    photos, told = held(), []
    seen: list[int] = []
    real = photos.stream

    def stream(*arguments: Any, indices: np.ndarray, **options: Any) -> Any:
        seen.extend(indices.tolist())
        return real(*arguments, indices=indices, **options)

    photos.stream = stream  # type: ignore[method-assign]
    start = narrow_backbone()
    before = start.get_weights()
    recipe = Recipe(epochs=3, batch_size=18, learning_rate=3e-3)
    classifier, spent = fit_classifier(start, photos, ["r", "g", "b"], recipe, seed=0, on_share=told.append)
    assert len(seen) == 54 and spent["held_out_images"] == 60 // Recipe.held_out_every
    assert spent["epochs"] == 3 and 1 <= spent["best_epoch"] <= 3
    assert told == pytest.approx([step / 9 for step in range(1, 10)])
    assert all(np.array_equal(a, b) for a, b in zip(before, start.get_weights(), strict=True))  # a copy is trained
    out = np.setdiff1d(np.arange(60), seen)
    share, count = share_correct(classifier, photos.centred(16, out))
    assert count == 6 and round(share, 4) == spent["held_out_score"]  # the weights are those of the best epoch


@pytest.mark.slow
def test_learns_and_stops_early_and_the_same_again() -> None:
    recipe = Recipe(epochs=40, patience=4, batch_size=18, learning_rate=3e-3)
    start, names = narrow_backbone(), ["r", "g", "b"]
    classifier, spent = fit_classifier(start, held(90), names, recipe)
    share, _ = share_correct(classifier, held(60, seed=1).centred(32))
    assert share > 0.9
    assert spent["epochs"] == min(40, spent["best_epoch"] + 4) < 40
    weights = classifier.get_weights()
    again, same = fit_classifier(start, held(90), names, recipe, reuse=classifier)
    assert again is classifier and same == spent
    for ours, theirs in zip(weights, again.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)  # threads may add in another order


@pytest.mark.slow
def test_rescaling_fits_the_photos() -> None:
    def spread(rescale: bool) -> float:
        recipe = Recipe(trained_layers=0, norms="frozen", rescale=rescale, epochs=1)
        classifier, _ = fit_classifier(narrow_backbone(), held(), ["r", "g", "b"], recipe)
        images = next(iter(held().centred(60)))[0]
        return float(np.std(classifier.backbone(images)["conv5"]))

    assert 0.45 < spread(True) < 0.7 < spread(False)  # after the ReLU a unit normal has a deviation of 0.58


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match=r"--trained-layers must be from 0 .* received: 6"):
        Recipe(trained_layers=6)
    with pytest.raises(UserError, match="--norms must be adapt or frozen; received: both"):
        Recipe(norms="both")
    with pytest.raises(UserError, match="--epochs must be 1 or more"):
        Recipe(epochs=0)
    with pytest.raises(UserError, match="needs 20 photos or more; received 19 from lights"):
        fit_classifier(narrow_backbone(), held(), ["r", "g", "b"], Recipe(), indices=np.arange(19))


def test_a_test_photo_without_a_label_is_no_wrong_answer() -> None:
    answers: Any = SimpleNamespace(predict_on_batch=lambda images: np.eye(3))
    images = np.zeros((3, 1))
    assert share_correct(answers, [(images, np.array([0, 1, 1]))]) == (2 / 3, 3)
    with pytest.raises(UserError, match="test photos must have a label from 0; received: one with -1"):
        share_correct(answers, [(images, np.array([0, 1, -1]))])
