"""The authors' transfer protocol: its settings, what is trained, and its result."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.evaluation_data import CONFIG, SIZE, held, narrow_backbone, ten_folds, write_stl10
from tf_spot.config import TransferConfig
from tf_spot.data import load
from tf_spot.errors import UserError
from tf_spot.evaluation import transfer as module
from tf_spot.evaluation.result_cache import ResultCache
from tf_spot.evaluation.transfer import penalised_loss, train_classifier, transfer, transfer_adam
from tf_spot.models.classifier import Classifier
from tf_spot.models.losses import weight_penalty

NAMES = ["red", "green", "blue"]
SHORT = TransferConfig(epochs=1, batch_size=20, hidden_units=8)


def classifier(hidden_units: tuple[int, ...] = ()) -> Classifier:
    return Classifier(narrow_backbone(), NAMES, image_size=SIZE, hidden_units=hidden_units)


def test_the_settings_are_those_of_the_authors_code() -> None:
    assert asdict(TransferConfig()) == {
        "epochs": 400, "batch_size": 128, "learning_rate": 1e-3, "final_learning_rate_share": 0.01, "decay_share": 0.9,
        "adam_beta_1": 0.5, "adam_epsilon": 1e-5, "weight_decay": 5e-5, "hidden_units": 4096, "dropout_rate": 0.5,
    }  # fmt: skip
    with pytest.raises(UserError, match=r"transfer.epochs must be above 0; received: 0"):
        TransferConfig(epochs=0)


def test_the_rate_falls_linearly_and_stays_at_the_end() -> None:
    recipe = TransferConfig(
        learning_rate=0.5, final_learning_rate_share=0.2, decay_share=0.5, adam_beta_1=0.3, adam_epsilon=0.7
    )
    optimizer = transfer_adam(recipe, 100)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 25, 50, 100)]
    np.testing.assert_allclose(rates, [0.5, 0.3, 0.1, 0.1], rtol=1e-6)
    assert (optimizer.beta_1, optimizer.epsilon) == (0.3, 0.7)


def test_the_loss_is_cross_entropy_and_a_penalty_on_the_trained_kernels() -> None:
    model = classifier()
    model.train_layers(0)
    labels, logits = tf.constant([0, 2]), tf.zeros((2, 3))
    loss = penalised_loss(model, 2.0)(labels, logits)
    penalty = float(tf.reduce_sum(tf.square(model.head.kernel)))  # twice half the squared norm; the bias is left out
    assert float(loss) == pytest.approx(np.log(3) + penalty, rel=1e-5)
    model.train_layers(5)
    everything = penalised_loss(model, 1.0)(labels, logits) - np.log(3)
    assert float(everything) == pytest.approx(float(weight_penalty(model.trainable_variables)), rel=1e-4)


def trained(monkeypatch: pytest.MonkeyPatch, recipe: TransferConfig, layers: int, **more: Any) -> tuple[Any, dict]:
    """The classifier as it would be trained, and how; nothing is."""
    given: dict[str, Any] = {}

    def fit(model: Classifier, batches: Any, held_out: Any, **words: Any) -> int:
        given.update(words, batch=next(iter(batches))[0].shape[0], held_out=held_out)
        return 0

    def loss(model: Classifier, weight_decay: float) -> Any:
        given["weight_decay"] = weight_decay
        return penalised_loss(model, weight_decay)

    monkeypatch.setattr(module, "fit_silently", fit)
    monkeypatch.setattr(module, "penalised_loss", loss)
    return train_classifier(narrow_backbone(), held(), NAMES, recipe, trained_layers=layers, **more), given


def test_epochs_and_batches_are_the_recipes_and_nothing_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _, given = trained(monkeypatch, TransferConfig(epochs=7, batch_size=16, weight_decay=0.25), 0)
    assert given["weight_decay"] == 0.25
    assert (given["epochs"], given["steps"], given["batch"], given["held_out"]) == (7, 60 // 16, 16, None)
    assert given["callbacks"] == [], "no epoch is chosen"
    _, given = trained(monkeypatch, TransferConfig(), 0, indices=np.arange(24))
    assert (given["steps"], given["batch"]) == (1, 24), "all photos where there are fewer than a batch"


def test_frozen_trains_one_layer_and_finetuned_all_below_two_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = TransferConfig(hidden_units=6, dropout_rate=0.25)
    frozen, _ = trained(monkeypatch, recipe, 0)
    assert [variable.path for variable in frozen.trainable_variables] == ["head/kernel", "head/bias"]
    finetuned, _ = trained(monkeypatch, recipe, 5)
    assert [layer.layers[0].units for layer in finetuned.hidden] == [6, 6]
    assert [layer.layers[-1].rate for layer in finetuned.hidden] == [0.25, 0.25]
    assert len(finetuned.backbone.trainable_variables) == 10, "five kernels and the shifts of five norms"


@pytest.mark.slow
def test_batch_norm_of_frozen_layers_follows_the_photos() -> None:
    start = narrow_backbone()
    before = {v.path: v.numpy() for v in start.variables}
    model = train_classifier(start, held(), NAMES, SHORT, trained_layers=0)
    after = {v.path: v.numpy() for v in model.backbone.variables}
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    assert changed and all("moving" in path for path in changed)
    assert all(np.array_equal(before[v.path], v.numpy()) for v in start.variables), "the start is left as it is"


@pytest.mark.slow
def test_folds_are_trained_one_by_one_and_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = load(f"stl10:{write_stl10(tmp_path, ten_folds())}", image_size=SIZE, config=CONFIG.data)
    told: list[tuple[int, int, str]] = []
    cache = ResultCache(tmp_path / "parts", {})
    words: dict[str, Any] = {"folds": True, "finetuned": False, "on_progress": lambda *line: told.append(line)}
    result = transfer(narrow_backbone(), source, SHORT, cache, **words)
    assert list(result["by_layer"]) == list(result["folds"]) == ["conv5"] and len(result["folds"]["conv5"]) == 10
    assert result["value"] == pytest.approx(np.mean(result["folds"]["conv5"]), abs=0.01)
    assert result["deviation"]["conv5"] == pytest.approx(np.std(result["folds"]["conv5"], ddof=1), abs=0.01)
    assert (result["train_images"], result["test_images"], result["recipe"]["epochs"]) == (24, 12, 1)
    assert told[-1][0] == told[-1][1] and {line[2] for line in told} >= {"transfer of random, conv5, fold 10"}
    monkeypatch.setattr(module, "train_classifier", None)
    again = ResultCache(tmp_path / "parts", {})
    assert transfer(narrow_backbone(), source, SHORT, again, **words) == result and again.resumed == 20


def test_each_fold_has_random_weights_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[np.ndarray] = []
    monkeypatch.setattr(module, "train_classifier", lambda start, *_, **__: starts.append(start.get_weights()[0]))
    monkeypatch.setattr(module, "share_correct", lambda *_: (0.5, 12))
    source = load(f"stl10:{write_stl10(tmp_path, ten_folds())}", image_size=SIZE, config=CONFIG.data)
    backbone = narrow_backbone()
    transfer(backbone, source, SHORT, ResultCache(tmp_path / "parts", {}), folds=True, finetuned=False, seed=3)
    learned, random = starts[:10], starts[10:]
    assert all(np.array_equal(start, backbone.get_weights()[0]) for start in learned)
    assert len({start.tobytes() for start in random}) == 10
    starts.clear()
    transfer(backbone, source, SHORT, ResultCache(tmp_path / "all", {}), finetuned=False, seed=3)
    assert np.array_equal(starts[1], random[0]), "all labels at once begin as the first fold does"


@pytest.mark.slow
def test_all_labels_at_once_give_both_columns(folder: str, tmp_path: Path) -> None:
    source = load(folder, image_size=SIZE, config=CONFIG.data)
    result = transfer(narrow_backbone(), source, SHORT, ResultCache(tmp_path, {}))
    assert list(result["by_layer"]) == list(result["rivals"]["random"]["by_layer"]) == ["conv5", "finetuned"]
    assert (result["layer"], result["value"]) == ("conv5", result["by_layer"]["conv5"])
    assert (result["train_images"], result["test_images"]) == (60, 12) and "folds" not in result
    with pytest.raises(UserError, match="only stl10:PATH has folds"):
        transfer(narrow_backbone(), source, SHORT, ResultCache(tmp_path / "other", {}), folds=True)
