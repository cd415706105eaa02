"""The door to all tasks: what it refuses, what cached results depend on, and what a result records."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from PIL import Image

from tf_spot.errors import UserError
from tf_spot.evaluation import evaluate_run as door
from tf_spot.evaluation import format_table, protocols
from tf_spot.evaluation.evaluate_run import evaluate_run, training_record
from tf_spot.evaluation.finetune import Recipe
from tf_spot.evaluation.result_cache import ResultCache, weights_digest
from tf_spot.evaluation.subject import open_subject
from tf_spot.evaluation.tasks import Options
from tf_spot.runs.cards import pretrained_card
from tf_spot.runs.load import load_spotter
from tf_spot.runs.run import STAGES, Run
from tf_spot.storage.files import write_json

PROBE = {"layers": None, "num_values": 9_000, "pooling": "average", "solver": None, "epochs": None}


def test_several_replicas_are_refused(run: Run) -> None:
    with tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]).scope(), pytest.raises(UserError, match="--strategy none"):
        evaluate_run(run.path, "photos", "finetune")


@pytest.mark.parametrize("task", ["linear", "knn", "finetune", "transfer", "repair"])
def test_test_photos_that_cannot_be_read_are_told_before_any_training(run: Run, tmp_path: Path, task: str) -> None:
    for split, count in (("train", 20), ("test", 12)):
        for number in range(count):
            file = tmp_path / split / "ab"[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 20)).save(file) if split == "train" else file.write_bytes(b"broken")
    with pytest.raises(
        UserError, match="split test must hold photos .*, of whose 12 test photos none can, such as test/"
    ):
        evaluate_run(run.path, f"folder:{tmp_path}", task)


def test_options_that_do_not_fit_are_refused_before_anything_is_opened() -> None:
    for task, options, says in (
        ("knn", {"test_scale": 8}, "leave out --test-scale"),
        ("finetune", {"epochs": 0}, "--epochs must be 1 or more; received: 0"),
        ("transfer", {"recipe": Recipe(epochs=3)}, "give epochs=3 as an argument of its own"),
        ("colour", {}, "unknown task"),
    ):
        with pytest.raises(UserError, match=says):
            evaluate_run("no such run", "photos", task, **options)
    with pytest.raises(UserError, match="a run folder, or from a backbone that comes with the package .*no such run"):
        evaluate_run("no such run", "photos", "knn")


def test_cached_results_are_named_as_by_earlier_versions(run: Run) -> None:
    """A folder's name is a digest of the settings under their keys, which are written out here."""
    spotter, recipe = load_spotter(run), Recipe(epochs=3, trained_layers=2)
    both, backbone = weights_digest(spotter.backbone, spotter.autoencoder), weights_digest(spotter.backbone)
    finetune = {"trained_layers": 2, "norms": "adapt", "rescale": False, "learning_rate": 1e-3, "epochs": 3,
                "patience": 5, "batch_size": 32, "finetuned": True, "seed": 4, "layers": None}  # fmt: skip
    for task, options, expected in (
        ("linear", Options(layers=("conv1",)),
         PROBE | {"task": "linear", "layers": ["conv1"], "seed": 4, "weights": both}),
        ("finetune", Options(), finetune | {"task": "finetune", "weights": backbone}),
        ("voc-detection", Options(scales=(40, 48)),
         finetune | {"task": "voc-detection", "weights": backbone, "scales": [40, 48], "test_scale": None}),
    ):  # fmt: skip
        found = door._depends_on(task, options, recipe, 4, spotter)
        assert json.loads(json.dumps(found)) == expected
    adapted = door._depends_on("knn", Options(norms="adapt"), recipe, 4, spotter)
    assert adapted == door._depends_on("knn", Options(), recipe, 4, spotter) | {"norms": "adapt"}
    transfers = [door._depends_on("transfer", options, recipe, 4, spotter)
                 for options in (Options(), Options(epochs=3), Options(folds=True))]  # fmt: skip
    assert transfers[0] != transfers[1] and transfers[0] != transfers[2]
    repairs = [door._depends_on("repair", Options(num_images=count), recipe, 4, spotter) for count in (10, 20)]
    assert repairs[0] != repairs[1]
    fixed = ResultCache(run.path, {"task": "knn", "seed": 0, "layers": None})
    assert fixed.path.name == "89828c9b9cbc381c"


def test_the_recipe_takes_the_epochs_and_the_result_is_written_once(run: Run, folder: str, monkeypatch: Any) -> None:
    jobs = []

    def finetuned(job: protocols.Job) -> dict[str, Any]:
        jobs.append(job)
        job.cache("spot", lambda: 1)
        return {
            "task": "finetune",
            "data": "lights",
            "seed": job.seed,
            "value": 1.0,
            "rivals": {"random": {"value": 0}},
        }

    monkeypatch.setattr(protocols, "run_finetune", finetuned)
    result = evaluate_run(run.path, folder, "finetune", recipe=Recipe(patience=2), epochs=4, norms="frozen", seed=3)
    (job,) = jobs
    assert job.recipe == dataclasses.replace(Recipe(), patience=2, epochs=4, norms="frozen")
    assert json.loads((run.path / "results" / "finetune-lights.json").read_text()) == result
    assert (result["mask_auc"], result["parts_resumed"], result["fingerprint"]) == (None, 0, job.source.fingerprint)
    assert list(result)[:7] == ["task", "data", "seed", "value", "rivals", "mask_auc", "preset"]
    assert not job.cache.path.exists()
    assert result["settings"] == {"patience": 2, "epochs": 4, "norms": "frozen"}
    others = [evaluate_run(run.path, folder, "finetune"), evaluate_run(run.path, folder, "finetune", norms="frozen")]
    files = [run.path / "results" / f"finetune-lights{key}.json" for key in (f"-{others[0]['key']}", "")]
    assert [json.loads(file.read_text()) for file in files] == others
    first = run.path / "results" / f"finetune-lights-{result['key']}.json"
    assert json.loads(first.read_text()) == result, "with other settings it is not replaced"


def test_controls_record_what_their_training_took(run: Run) -> None:
    metrics = {"seed": 1, "rivals": {"random": {"value": 1}, "encoding": {"value": 2}, "spot": {"value": 3}}}
    record = training_record(open_subject(run.path), metrics)
    assert (record["images_seen"], record["seconds"], record["preset"]) == (8, 2.0, "tiny")
    assert record["rivals"]["random"] == {"value": 1, "preset": "tiny", "seed": 1, "images_seen": 0, "seconds": 0.0}
    assert record["rivals"]["encoding"]["images_seen"] == 4
    assert record["rivals"]["spot"]["images_seen"] == 8, "beside adapted features stand the spotter's own"


def test_weights_of_the_package_are_judged_by_name(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its card says what the training took; there is no autoencoder to set beside the backbone."""
    monkeypatch.chdir(tmp_path)
    name = "imagenette96-small"
    card = pretrained_card(name)
    with pytest.raises(UserError, match="--task repair needs a run folder; received: imagenette96-small, a backbone"):
        evaluate_run(name, folder, "repair")
    assert not list(tmp_path.iterdir()), "a refused evaluation leaves nothing"
    result = evaluate_run(name, folder, "knn", layers=["conv5"])
    assert set(result["rivals"]) == {"random", "pixels"} and result["mask_auc"] is None
    assert result["images_seen"] == sum(stage["images_seen"] for stage in (card["cost"][s] for s in STAGES))
    assert (result["training_command"], result["preset"]) == (card["command"], "small")
    assert result["training_data"]["fingerprint"] == card["data"]["fingerprint"]
    (written,) = (tmp_path / name / "results").glob("*.json")
    assert json.loads(written.read_text()) == result
    again = evaluate_run(name, folder, "knn", layers=["conv5"])
    assert again["by_layer"] == result["by_layer"], "the folder of its results is not taken for a run"


@pytest.fixture
def row(run: Run, tmp_path: Path) -> Run:
    """A finished row of a comparison, of the method `rotation`."""
    made = Run.create(tmp_path / "rotation-0", run.config, run.data)
    load_spotter(run).backbone.save(made.model_path("backbone"))
    write_json(made.path / "result.json", {"method": "rotation", "images_seen": 640, "seconds": 1.5})
    return made


def test_a_row_of_a_comparison_is_judged_under_its_own_name(row: Run, folder: str) -> None:
    """The names are those of the method in the result, its controls and the table."""
    told: list[str] = []
    result = evaluate_run(
        row.path, folder, "knn", layers=["conv5"], norms="adapt", on_progress=lambda *words: told.append(words[2])
    )
    assert result["method"] == "rotation, adapted"
    assert "probing rotation" in told and not any("spot" in text for text in told)
    assert set(result["rivals"]) == {"rotation", "random", "random, adapted", "pixels"}
    assert [result["rivals"][name]["method"] for name in ("rotation", "random")] == ["rotation", "random"]
    assert (result["images_seen"], result["seconds"], result["mask_auc"]) == (640, 1.5, None)
    assert [result["rivals"][name]["images_seen"] for name in ("rotation", "random, adapted")] == [640, 0]
    lines = format_table(result).splitlines()[1:]
    rows = [line[:18].strip() for line in lines[1:8]]
    expected = ["rotation, adapted", "random, adapted", "above random", "rotation", "random", "above random", "pixels"]
    assert rows == expected and len({len(line) for line in (lines[0], lines[7])}) == 1
    with pytest.raises(UserError, match="--task repair needs a run folder; received: .*rotation-0, a backbone alone"):
        evaluate_run(row.path, folder, "repair")


def test_the_row_of_random_weights_is_refused(row: Run, folder: str) -> None:
    write_json(row.path / "result.json", {"method": "random", "images_seen": 0, "seconds": 0.0})
    with pytest.raises(UserError, match="random weights stand beside every evaluation; received: "):
        evaluate_run(row.path, folder, "knn")
