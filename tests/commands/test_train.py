"""What `tf-spot train` makes of its options and prints of the plan; the training itself is a stand-in."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands.example import SETS, last_line
from tests.support.tracker_stand_ins import Wandb
from tf_spot.cli import build_parser, main
from tf_spot.commands import train as train_command
from tf_spot.config import Config, preset
from tf_spot.runs.run import Run
from tf_spot.training import train as training

KNOWN = {"data": "mine (folder:mine)", "photos": 24}


COUNTS = [{"autoencoder_parameters": 9075}, {"discriminator_parameters": 671955}]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments that `train` is called with."""
    seen: dict[str, Any] = {}

    def train(config: Any, spec: str, out: Path, **options: Any) -> None:
        seen.update(options, config=config, spec=spec)
        for numbers in (KNOWN, *COUNTS):
            options["on_plan"](numbers)
        run = Run.create(out, config, {"spec": spec, "name": "mine", "fingerprint": "1f", "counts": {}})
        run.add_metrics({"stage": "spotter", "step": 3, "mask_loss": 0.123456789})

    monkeypatch.setattr(training, "train", train)
    return seen


def test_the_plan_is_printed_as_it_becomes_known_and_whole_in_json(
    asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    assert main(["train", "--data", f"folder:{tmp_path}", "--out", out, "--preset", "tiny", "--json"]) == 0
    printed = capsys.readouterr()
    assert [line.split(maxsplit=1) for line in printed.err.splitlines()] == [
        ["data", "mine (folder:mine)"],
        ["photos", "24"],
        ["autoencoder", "parameters     9075"],
        ["discriminator", "parameters   671955"],
    ]
    result = json.loads(printed.out.splitlines()[-1])
    assert list(result["plan"].items()) == [*KNOWN.items(), *COUNTS[0].items(), *COUNTS[1].items()]
    assert result["run"] == out and result["last"]["mask_loss"] == 0.123456789


def test_options_reach_the_training(asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Run.create(tmp_path / "other", preset("tiny"), {}).path
    words = ["--set", "game.drop_rate=0.3", "--recompute", "--strict", "--autoencoder", str(other)]
    words += ["--strategy", "none", "--cache", "host", "--tracker", "wandb"]
    Wandb(monkeypatch)
    assert main(["train", "--data", "photos", "--out", str(tmp_path / "run"), "--preset", "tiny", *words]) == 0
    assert asked["config"] == preset("tiny").replace(**{"game.drop_rate": 0.3, "training.recompute": True})
    assert (asked["spec"], asked["strict"], asked["resume"], asked["cache"]) == ("photos", True, False, "host")
    assert asked["tracker"] == "wandb" and asked["autoencoder"] == other and asked["strategy"].num_replicas_in_sync == 1


def test_each_epoch_is_a_row_on_stderr(
    asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of all epochs, those that an extension adds among them."""
    words = [
        "train",
        "--data",
        "photos",
        "--out",
        str(tmp_path / "run"),
        "--preset",
        "tiny",
        "--resume",
        "--extend",
        "200",
    ]
    assert main(words) == 0
    capsys.readouterr()
    asked["on_epoch"]({"stage": "spotter", "epoch": 3, "mask_loss": 0.25, "images_per_second": 35.0})
    heading, row = capsys.readouterr().err.splitlines()
    assert heading.split()[:3] == ["spotter", "discr", "mask"]
    assert row.split() == ["3/18", "-", "0.250", "-", "-", "-", "-", "-", "-", "35"]


def test_a_missing_tracker_is_told_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    words = ["train", "--data", f"folder:{tmp_path}/missing", "--out", str(tmp_path / "run"), "--tracker", "mlflow"]
    assert main(words) == 2
    assert "pip install tf-spot[mlflow]" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_warm_start_and_an_extension_reach_the_training(asked: dict[str, Any], tmp_path: Path) -> None:
    words = ["train", "--data", "photos", "--out", str(tmp_path / "run"), "--preset", "tiny"]
    assert main([*words, "--init-from", "runs/other", "--resume", "--extend", "7"]) == 0
    assert (asked["init_from"], asked["resume"], asked["extend"]) == ("runs/other", True, 7)


@pytest.mark.parametrize("words", [["--extend", "5"], ["--extend", "5", "--resume"]])
def test_an_extension_needs_a_run(words: list[str], spec: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["train", "--data", spec, "--out", str(tmp_path / "run"), "--preset", "tiny", *words]) == 2
    assert "--extend goes on with a run and needs --resume" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_train_makes_a_run_with_the_preset_and_its_changes(run) -> None:
    config = Config.load(run / "config.json")
    assert (config.preset, config.data.image_size, config.training.spotter_steps) == ("tiny", 16, 3)
    assert config.network.trunk_norm == "batch"  # the preset's
    assert (run / "autoencoder.keras").is_file() and (run / "spotter.keras").is_file()


def test_train_prints_the_plan_first_and_the_metrics_as_json(spec, run, capsys) -> None:
    """Resuming a finished run trains nothing more, and prints the metrics of its end."""
    assert main(["train", "--data", spec, "--out", str(run), "--resume", "--json"]) == 0
    out, err = capsys.readouterr()
    metrics = last_line(out)
    assert metrics["plan"]["cells"] == "4 x 4" and metrics["plan"]["photos"] == 24  # a fifth of 30 is held out
    assert metrics["plan"]["autoencoder_steps"] == 2 and metrics["plan"]["discriminator_parameters"] > 1000
    assert metrics["last"]["stage"] == "spotter" and metrics["last"]["step"] == 3
    for value in metrics["plan"].values():
        assert str(value) in err
    for value in metrics["last"].values():
        assert str(value) in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--preset", "small"], "preset"),
        (["--set", "game.drop_rate=0.9"], "game.drop_rate"),
        (["--set", "game.drop_rate=0.9", "--preset", "tiny"], "game.drop_rate"),
    ],
)
def test_resume_with_another_recipe_names_the_field(words, says, spec, run, capsys) -> None:
    assert main(["train", "--data", spec, "--out", str(run), "--resume", *words]) == 2
    assert says in capsys.readouterr().err


def test_resume_takes_the_recipe_repeated(spec, run) -> None:
    words = ["--resume", "--preset", "tiny", "--set", "data.image_size=16"]
    assert main(["train", "--data", spec, "--out", str(run), *words]) == 0


def test_run_folder_is_not_overwritten(spec, run, capsys) -> None:
    assert main(["train", "--data", spec, "--out", str(run), "--preset", "tiny", *SETS]) == 2
    assert "--resume" in capsys.readouterr().err


def test_strict_makes_a_bad_photo_an_error(spec, tmp_path, capsys) -> None:
    """The two classes of `spec`, and a file that is no picture."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "good").symlink_to(spec.removeprefix("folder:") + "/train")
    (folder / "bad.png").write_text("no picture")
    words = ["train", "--data", f"folder:{folder}", "--preset", "tiny", *SETS]
    assert main([*words, "--out", str(tmp_path / "strict"), "--strict"]) == 2
    assert "bad.png" in capsys.readouterr().err
    assert not (tmp_path / "strict").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_saves_and_ends_with_its_code(number, code, spec, tmp_path, capsys) -> None:
    run = tmp_path / "run"
    words = ["--set", "training.autoencoder_steps=1000000", "--set", "training.checkpoint_steps=1000000"]

    def interrupt() -> None:
        """Once the first epoch is recorded, so that training is under way."""
        while not (run / "metrics.jsonl").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt, daemon=True).start()
    assert main(["train", "--data", spec, "--out", str(run), "--preset", "tiny", *SETS, *words]) == code
    assert "saved" in capsys.readouterr().err
    assert len(list((run / "checkpoints" / "autoencoder").glob("step-*"))) == 1


def test_train_takes_a_recipe_file(tmp_path: Path) -> None:
    recipe = preset("tiny").replace(**{"game.drop_rate": 0.3})
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    words = ["train", "--data", "photos", "--out", str(tmp_path / "run"), "--config", str(tmp_path / "recipe.json")]
    options = build_parser().parse_args([*words, "--set", "training.seed=4"])
    assert train_command._config(options) == recipe.replace(**{"training.seed": 4})


def test_a_recipe_file_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--data", "photos", "--out", str(tmp_path / "run"), "--config", str(tmp_path / "recipe.json")]
    assert main(words) == 2
    assert "a recipe is a file such as RUN/config.json; received:" in capsys.readouterr().err
