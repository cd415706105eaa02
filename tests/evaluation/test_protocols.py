"""Protocols that train with labels: what they give, what they refuse, and that they go on after a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_spot.cli import main
from tf_spot.config import PAPER, preset
from tf_spot.data import load
from tf_spot.data.labelled import LabelledPhotos
from tf_spot.errors import UserError
from tf_spot.evaluation import finetune as finetuning
from tf_spot.evaluation import protocols
from tf_spot.evaluation.finetune import HELD_OUT_EVERY, Recipe, fit_classifier, share_right
from tf_spot.evaluation.probes.ridge import RidgeSums
from tf_spot.evaluation.result_cache import Parts
from tf_spot.evaluation.stl10 import FOLDS, check_folds, few_labels, local_spec, official_files, ridge_over_examples
from tf_spot.models.backbones import AlexNet
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs.load import load_classifier
from tf_spot.runs.run import Run

SIZE = 16
CONFIG = preset("tiny").replace(
    **{"data.image_size": SIZE, "network.width": 0.125, "network.fc_units": 8, "training.batch_size": 4}
)


def backbone() -> Any:
    keras.utils.set_random_seed(0)
    return AlexNet(width=0.1, stem_kernel=5, stem_stride=1, trunk_norm="batch", norm_momentum=0.9, norm_epsilon=1e-3)


def lights(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise that is bright in red, green or blue: uint8 (count, 24, 24, 3), and which."""
    numbers = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 3
    photos = numbers.integers(0, 120, (count, 24, 24, 3), np.uint8)
    photos[np.arange(count), :, :, labels] += 120
    return photos, labels


def held(count: int = 60, seed: int = 0) -> LabelledPhotos:
    photos, labels = lights(count, seed)
    return LabelledPhotos(list(photos), labels, image_size=SIZE, config=PAPER.data, name="lights")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a spotter that has learnt nothing."""
    record = {"spec": "x", "name": "x", "fingerprint": "0", "counts": {}}
    made = Run.create(tmp_path_factory.mktemp("runs") / "run", CONFIG, record)
    autoencoder = build_autoencoder(CONFIG)
    build_spotter(CONFIG, autoencoder).save(made.model_path("spotter"))
    for stage in ("autoencoder", "spotter"):
        made.add_metrics({"stage": stage, "epoch": 1, "step": 1, "images_seen": 4, "seconds": 1.0})
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("lights")
    for split, count in (("train", 60), ("test", 12)):
        for number, (photo, label) in enumerate(zip(*lights(count, count), strict=True)):
            (root / split / "rgb"[label]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo).save(root / split / "rgb"[label] / f"{number:02d}.png")
    return f"folder:{root}"


def write_stl10(root: Path, folds: str) -> Path:
    for split, count in (("train", 60), ("test", 12)):
        photos, labels = lights(count, count)
        np.kron(photos, np.ones((1, 4, 4, 1), np.uint8)).transpose(0, 3, 2, 1).tofile(root / f"{split}_X.bin")
        (labels + 1).astype(np.uint8).tofile(root / f"{split}_y.bin")
    (root / "class_names.txt").write_text("red\ngreen\nblue\n")
    (root / "fold_indices.txt").write_text(folds)
    return root


def ten_folds(size: int = 24) -> str:
    numbers = np.random.default_rng(0)
    return "".join(" ".join(map(str, numbers.permutation(60)[:size])) + "\n" for _ in range(FOLDS))


# --- finetuning -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_held_out_labels_choose_the_epoch_and_are_not_learnt() -> None:
    photos, told = held(), []
    seen: list[int] = []
    real = photos.stream

    def stream(*arguments: Any, indices: np.ndarray, **options: Any) -> Any:
        seen.extend(indices.tolist())
        return real(*arguments, indices=indices, **options)

    photos.stream = stream  # type: ignore[method-assign]
    start = backbone()
    before = start.get_weights()
    recipe = Recipe(epochs=3, batch_size=18, learning_rate=3e-3)
    classifier, spent = fit_classifier(start, photos, ["r", "g", "b"], recipe, seed=0, tell=told.append)
    assert len(seen) == 54 and spent["held_out_images"] == 60 // HELD_OUT_EVERY
    assert spent["epochs"] == 3 and 1 <= spent["best_epoch"] <= 3
    assert told == pytest.approx([step / 9 for step in range(1, 10)])
    assert all(np.array_equal(a, b) for a, b in zip(before, start.get_weights(), strict=True))  # a copy is trained
    out = np.setdiff1d(np.arange(60), seen)
    share, count = share_right(classifier, photos.centred(16, out))
    assert count == 6 and round(share, 4) == spent["held_out_score"]  # the weights are those of the best epoch


@pytest.mark.slow
def test_learns_and_stops_early_and_the_same_again() -> None:
    recipe = Recipe(epochs=40, patience=4, batch_size=18, learning_rate=3e-3)
    start, names = backbone(), ["r", "g", "b"]
    classifier, spent = fit_classifier(start, held(90), names, recipe)
    share, _ = share_right(classifier, held(60, seed=1).centred(32))
    assert share > 0.9
    assert spent["epochs"] == min(40, spent["best_epoch"] + 4) < 40
    weights = classifier.get_weights()
    again, same = fit_classifier(start, held(90), names, recipe, again=classifier)
    assert again is classifier and same == spent
    for ours, theirs in zip(weights, again.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)  # threads may add in another order


@pytest.mark.slow
def test_rescaling_fits_the_photos() -> None:
    def spread(rescale: bool) -> float:
        recipe = Recipe(trained_layers=0, norms="frozen", rescale=rescale, epochs=1)
        classifier, _ = fit_classifier(backbone(), held(), ["r", "g", "b"], recipe)
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
        fit_classifier(backbone(), held(), ["r", "g", "b"], Recipe(), places=np.arange(19))


@pytest.mark.slow
def test_finetune_from_the_command_line(
    run: Run, folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped after its first half it goes on with the second; the record is whole, and the classifier is the run's."""
    command = ["evaluate", str(run.path), "--data", folder, "--task", "finetune", "--epochs", "2", "--patience", "2",
               "--trained-layers", "2", "--learning-rate", "0.002", "--strategy", "none", "--json"]  # fmt: skip
    real, started = finetuning.fit_classifier, []

    def stopped(start: Any, *arguments: Any, **options: Any) -> Any:
        started.append(start)
        if len(started) == 2:
            raise KeyboardInterrupt
        return real(start, *arguments, **options)

    monkeypatch.setattr(finetuning, "fit_classifier", stopped)
    assert main(command) == 130
    assert not list((run.path / "results").glob("*.json"))
    assert main(command) == 0
    assert len(started) == 3
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    (file,) = (run.path / "results").glob("finetune-*.json")
    assert json.loads(file.read_text()) == result
    assert (result["parts_resumed"], result["train_images"], result["test_images"]) == (1, 60, 12)
    assert result["recipe"]["trained_layers"] == 2 and result["recipe"]["learning_rate"] == 0.002
    assert {"config", "commit", "versions", "fingerprint", "seed", "evaluation_seconds", "machine"} < set(result)
    assert set(result["rivals"]) == {"random"}
    assert not list((run.path / "results" / "parts").iterdir())
    classifier = load_classifier(run)
    source = load(folder, image_size=SIZE, config=CONFIG.data)
    assert classifier.class_names == ["b", "g", "r"]
    assert round(100 * share_right(classifier, source.labelled("test", 8))[0], 2) == result["value"]


# --- parts ------------------------------------------------------------------------------------------------------------


def test_parts_are_kept_by_what_they_depend_on(tmp_path: Path) -> None:
    calls: list[str] = []

    def work() -> dict[str, int]:
        calls.append("x")
        return {"n": len(calls)}

    first = Parts(tmp_path, {"seed": 0})
    assert first("a", work) == first("a", work) == Parts(tmp_path, {"seed": 0})("a", work) == {"n": 1}
    assert Parts(tmp_path, {"seed": 1})("a", work) == {"n": 2}
    assert first.resumed == 1
    first.forget()
    assert first("a", work) == {"n": 3}


# --- STL-10 -----------------------------------------------------------------------------------------------------------


def test_ridge_over_examples_is_the_ridge_over_values() -> None:
    numbers = np.random.default_rng(0)
    classes = numbers.integers(0, 3, 40)
    features = (numbers.normal(size=(3, 60))[classes] + numbers.normal(size=(40, 60))) * numbers.uniform(0.1, 9, 60) + 5
    features = np.hstack([features, np.full((40, 1), 7.7)]).astype(np.float32)
    sums = RidgeSums(3)
    sums.add(features, classes)
    for strength, ours in zip((0.1, 10.0), ridge_over_examples(features, classes, 3, (0.1, 10.0)), strict=True):
        theirs = sums.solve(strength)
        np.testing.assert_allclose(ours.weights, theirs.weights, atol=1e-4)
        np.testing.assert_allclose(ours.bias, theirs.bias, atol=1e-6)


def test_few_labels_choose_a_strength_that_helps() -> None:
    numbers = np.random.default_rng(1)
    classes = np.arange(600) % 3
    features = (numbers.normal(size=(3, 400))[classes] * 0.2 + numbers.normal(size=(600, 400))).astype(np.float32)
    train, test = slice(0, 100), slice(100, None)
    chosen = few_labels(features[train], classes[train]).correct(features[test], classes[test]) / 500
    fits = ridge_over_examples(features[train], classes[train], 3, (1e-4, 1e4))
    ends = [fit.correct(features[test], classes[test]) / 500 for fit in fits]
    assert chosen > min(ends) and chosen > max(ends) - 0.05
    shuffled = numbers.permutation(classes)
    chance = few_labels(features[train], shuffled[train]).correct(features[test], shuffled[test]) / 500
    assert abs(chance - 1 / 3) < 2 * np.sqrt(2 / 9 / 500)


@pytest.mark.parametrize(
    ("sizes", "says"), [([5] * 9, "9 folds of 5"), ([5] * 9 + [4], "10 folds of 4 to 5"), ([5] * 11, "11 folds of 5")]
)
def test_folds_must_be_ten_of_one_size(sizes: list[int], says: str) -> None:
    with pytest.raises(UserError, match=f"10 folds of one size; received: {says};"):
        check_folds([np.arange(size) for size in sizes])
    check_folds([np.arange(5)] * 10)


@pytest.mark.slow
def test_stl10_from_the_command_line(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten folds, two layers, finetuned; stopped in the middle it goes on; every figure is of the whole test set."""
    root = write_stl10(tmp_path, ten_folds())
    command = ["evaluate", str(run.path), "--data", f"stl10:{root}", "--task", "stl10", "--layers", "conv2,conv5",
               "--strategy", "none"]  # fmt: skip
    from tf_spot.evaluation import stl10

    def stop(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    real = stl10.fit_classifier
    monkeypatch.setattr(stl10, "fit_classifier", stop)
    assert main([*command, "--epochs", "1"]) == 130
    monkeypatch.setattr(stl10, "fit_classifier", real)
    assert main([*command, "--epochs", "1"]) == 0
    result = json.loads((run.path / "results" / "stl10-stl10.json").read_text())
    assert result["parts_resumed"] == 1
    for figures in (result, result["rivals"]["random"]):
        assert list(figures["by_layer"]) == list(figures["folds"]) == ["conv2", "conv5", "finetuned"]
        for name, values in figures["folds"].items():
            assert len(values) == 10 and all(round(value * 12 / 100, 2) % 1 in (0, 1) for value in values)
            assert figures["by_layer"][name] == pytest.approx(np.mean(values), abs=0.01)
            assert figures["deviation"][name] == pytest.approx(np.std(values, ddof=1), abs=0.01)
    assert (result["train_images"], result["test_images"]) == (24, 12)
    assert set(result["official_files"].values()) == {False}
    assert result["by_layer"]["conv2"] > 80  # colours are there without any training
    frozen = result
    assert main([*command, "--frozen-only"]) == 0
    result = json.loads((run.path / "results" / "stl10-stl10.json").read_text())
    assert list(result["by_layer"]) == ["conv2", "conv5"] and result["recipe"] is None
    assert result["folds"]["conv5"] == frozen["folds"]["conv5"]
    assert "conv5" in capsys.readouterr().out


def test_tfds_stl10_reads_the_files_it_was_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert local_spec("stl10:x") == "stl10:x"
    with pytest.raises(UserError, match="unpack stl10_binary.tar.gz and give stl10:PATH"):
        local_spec("tfds:stl10")
    inner = tmp_path / "downloads" / "extracted" / "TAR_GZ.x" / "stl10_binary"
    inner.mkdir(parents=True)
    assert local_spec("tfds:stl10") == local_spec("tfds:stl10/plain:1.0.0") == f"stl10:{inner}"
    write_stl10(inner, ten_folds())
    assert load(local_spec("tfds:stl10"), image_size=SIZE).count("train") == 60
    assert official_files(f"stl10:{inner.parent}") == dict.fromkeys(
        ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"), False
    )


def test_several_replicas_are_refused(run: Run) -> None:
    with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope(), pytest.raises(UserError, match="--strategy none"):
        protocols.run_protocol(run.path, "photos", "finetune", Recipe())
