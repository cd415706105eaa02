"""`tf-spot evaluate`: the table it prints and the result file it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands.example import last_line
from tf_spot.cli import build_parser, main
from tf_spot.config import Config, FinetuneConfig
from tf_spot.evaluation.tasks import TASKS, Options, flag


@pytest.mark.parametrize("task", ["linear", "knn"])
def test_evaluate_prints_and_records_the_table(task, spec, run, tmp_path, capsys) -> None:
    words = ["evaluate", str(run), "--data", spec, "--task", task, "--layers", "conv2,conv5", "--num-values", "40"]
    assert main([*words, "--pooling", "max", "--seed", "3", "--out", str(tmp_path / "x.json"), "--json"]) == 0
    out = capsys.readouterr().out
    result = last_line(out)
    name = spec.rpartition("/")[2]
    assert result == json.loads((tmp_path / "x.json").read_text())
    assert result == json.loads((run / "results" / f"{task}-{name}.json").read_text())
    assert list(result["by_layer"]) == ["conv2", "conv5"]
    assert (result["task"], result["method"], result["data"], result["seed"]) == (task, "spot", name, 3)
    assert result["pooling"] == "max" and all(count <= 200 for count in result["num_values"].values())
    assert f"{result['by_layer']['conv5']:.1f}" in out and f"{result['rivals']['pixels']['value']:.1f}" in out
    assert str(result["mask_auc"]) in out and 0 <= result["mask_auc"] <= 1


def test_pretrained_weights_need_photos_to_be_judged_on(capsys) -> None:
    assert main(["evaluate", "imagenette96-small", "--task", "knn"]) == 2
    assert "imagenette96-small was not trained here: say which photos" in capsys.readouterr().err


def test_result_has_every_key_it_promises(spec, run) -> None:
    assert main(["evaluate", str(run), "--data", spec, "--task", "knn", "--layers", "conv1"]) == 0
    result = json.loads(next((run / "results").glob("knn-*.json")).read_text())
    keys = {"task", "method", "data", "preset", "seed", "metric", "value", "by_layer", "images_seen", "seconds"}
    assert keys | {"stderr", "rivals", "command", "config", "commit", "versions", "machine", "mask_auc"} <= set(result)
    assert set(result["rivals"]) == {"random", "encoding", "pixels"}
    for rival in result["rivals"].values():
        assert keys <= set(rival)
    assert result["preset"] == "tiny" and Config.from_dict(result["config"]) == Config.load(run / "config.json")
    assert result["images_seen"] == (2 + 3) * 4  # both stages, batches of four
    seen = {name: rival["images_seen"] for name, rival in result["rivals"].items()}
    assert seen == {"random": 0, "encoding": 2 * 4, "pixels": 0}
    assert result["versions"]["tensorflow"] and result["machine"]["cpus"]


def test_unknown_layer_is_a_mistake(spec, run, capsys) -> None:
    assert main(["evaluate", str(run), "--data", spec, "--task", "knn", "--layers", "conv9"]) == 2
    assert "conv9" in capsys.readouterr().err


BASE = ["evaluate", "RUN", "--data", "photos", "--task"]


RESULT: dict[str, Any] = {
    "task": "knn", "method": "spot", "data": "x", "metric": "accuracy", "unit": "percent", "stderr": 1.0,
    "train_images": 9, "test_images": 9, "by_layer": {"conv1": 5.0}, "value": 5.0, "mask_auc": None,
    "rivals": {"random": {"by_layer": {"conv1": 4.0}, "value": 4.0}},
    "photos": {"train": 1_009, "test": 9}, "classes": 3, "unreadable": ["a.jpg: cut short"],
}  # fmt: skip


def given(monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    """What `evaluate_run` is called with."""
    calls: list[dict[str, Any]] = []

    def evaluate_run(run: Path, spec: str, task: str, **options: Any) -> dict[str, Any]:
        calls.append({"run": run, "spec": spec, "task": task} | options)
        return RESULT

    monkeypatch.setattr("tf_spot.evaluation.evaluate_run.evaluate_run", evaluate_run)
    assert main([*BASE, *words, "--strategy", "none"]) == 0
    (call,) = calls
    del call["on_progress"]
    return call


@pytest.mark.usefixtures("empty_run")
def test_what_is_not_given_is_left_to_the_defaults(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert given(monkeypatch, "knn") == {
        "run": Path("RUN"), "spec": "photos", "task": "knn", "recipe": FinetuneConfig(), "seed": 0
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "mask AUC on test images: no mask head" in out
    assert out.startswith("x: train 1,009 photos, test 9 photos, 3 classes, 1 unreadable\n")


@pytest.mark.usefixtures("empty_run")
def test_every_option_arrives_as_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = ["--layers", "conv1,conv3", "--num-values", "40", "--pooling", "max", "--solver", "sgd", "--seed", "3"]
    call = given(monkeypatch, "linear", *probe, "--epochs", "7")
    assert (call["layers"], call["num_values"], call["pooling"], call["solver"]) == (
        ["conv1", "conv3"],
        40,
        "max",
        "sgd",
    )
    assert (call["epochs"], call["seed"], call["recipe"]) == (7, 3, FinetuneConfig())
    recipe = ["--trained-layers", "2", "--norms", "frozen", "--rescale", "--learning-rate", "0.01", "--patience", "3"]
    call = given(monkeypatch, "voc-detection", *recipe, "--scales", "40,48", "--test-scale", "44", "--frozen-only")
    assert call["recipe"] == FinetuneConfig(trained_layers=2, rescale=True, learning_rate=0.01, patience=3)
    assert call["norms"] == "frozen"
    assert (call["scales"], call["test_scale"], call["finetuned"]) == ([40, 48], 44, False)
    call = given(monkeypatch, "transfer", "--folds", "--epochs", "3")
    assert (call["folds"], call["epochs"]) == (True, 3)


@pytest.mark.usefixtures("empty_run")
def test_published_numbers_are_printed_when_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Below the table, and in the JSON; by default nothing of them."""
    monkeypatch.setitem(RESULT, "task", "linear")
    given(monkeypatch, "linear", "--json")
    short = capsys.readouterr().out
    assert "Table 4" not in short and "published" not in last_line(short)
    given(monkeypatch, "linear", "--published", "paper", "--json")
    own = capsys.readouterr().out
    assert "Table 4 on ImageNet" in own and "yours, on x" in own and "Noroozi" not in own
    assert [row["method"] for row in last_line(own)["published"]] == ["spot", "random"] * 2
    given(monkeypatch, "linear", "--published", "all", "--json")
    every = capsys.readouterr().out
    assert (
        every.index("above random") < every.index("Noroozi & Favaro, jigsaw")
        and len(last_line(every)["published"]) == 25
    )


@pytest.mark.usefixtures("empty_run")
def test_a_task_without_published_numbers_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*BASE, "knn", "--published", "all"]) == 2
    assert "--published goes with --task linear, stl10" in capsys.readouterr().err


def test_without_data_the_photos_are_those_of_the_training(
    monkeypatch: pytest.MonkeyPatch, spec: str, run: Path
) -> None:
    monkeypatch.setattr("tests.commands.test_evaluate.BASE", ["evaluate", str(run), "--task"])
    call = given(monkeypatch, "repair", "--num-images", "40")
    assert (call["spec"], call["num_images"]) == (spec, 40)


def test_help_names_every_task_every_option_and_its_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["evaluate", "--help"])
    text = capsys.readouterr().out
    assert all(f"  {name}  " in text and task.summary in text for name, task in TASKS.items())
    assert all(f"{flag(option)} " in text for option in Options.__dataclass_fields__)
    assert "options of voc-detection:" in text and "options of linear, knn, stl10:" in text
    assert f"({FinetuneConfig.patience})" in text and f"({FinetuneConfig.learning_rate})" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["voc-detection", "--scales", "wide"], "must be whole numbers like 96,128; received: wide"),
        (["guess"], "invalid choice: 'guess'"),
        (["linear", "--solver", "adam"], "invalid choice: 'adam'"),
    ],
)
def test_words_that_cannot_be_read_end_with_2(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*BASE, *words])
    assert stop.value.code == 2 and says in capsys.readouterr().err


@pytest.mark.usefixtures("empty_run")
def test_options_of_other_tasks_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*BASE, "knn", "--patience", "3", "--strategy", "none"]) == 2
    assert "--patience goes with --task finetune" in capsys.readouterr().err
