"""The subcommands as a user types them: what they write and print, and how they end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tf_spot.cli import build_parser, main
from tf_spot.commands import train as train_command
from tf_spot.commands.shared_options import format_metrics
from tf_spot.config import Config, preset

TINY = {
    "data.image_size": 16, "data.held_out_share": 0.2, "network.width": 0.125, "network.fc_units": 8,
    "game.history_batches": 2, "training.batch_size": 4, "training.autoencoder_steps": 2, "training.spotter_steps": 3,
    "training.steps_per_epoch": 2, "training.checkpoint_steps": 1,
    "training.deterministic": "false",  # it cannot be switched off again in this process
}  # fmt: skip
SETS = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
QUIET_GPU = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> str:
    """Two classes of 15 photos to train on and 6 to test on."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for split, count in (("train", 15), ("test", 6)):
        for label, shade in (("dark", 60), ("light", 190)):
            (folder / split / label).mkdir(parents=True)
            for i in range(count):
                photo = np.clip(random.normal(shade, 40, (24, 24, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(photo).save(folder / split / label / f"{i}.png")
    return f"folder:{folder}"


@pytest.fixture(scope="module")
def run(tmp_path_factory, spec):
    run = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "--data", spec, "--out", str(run), "--preset", "tiny", *SETS]) == 0
    return run


def last_line(text: str) -> dict:
    return json.loads(text.splitlines()[-1])


# --- words and exit codes ---------------------------------------------------------------------------------------------


def test_help_does_not_wait_for_tensorflow() -> None:
    code = (
        "import sys\nfrom tf_spot.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as stop: code = stop.code\n"
        "print(code, sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *shown, last = done.stdout.splitlines()
    assert last == "0 []"
    for name in ("demo", "train", "evaluate", "spot", "report"):
        assert any(line.strip().startswith(name) for line in shown)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["train", "--out", "x"],
        ["train", "--data", "photos"],
        ["train", "--data", "photos", "--out", "x", "--preset", "huge"],
        ["evaluate", "x", "--data", "photos", "--task", "guess"],
        ["evaluate", "x", "--data", "photos", "--task", "knn", "--seed", "one"],
        ["spot", "x", "--out", "y"],
    ],
)
def test_wrong_words_end_with_2(words, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and "usage: tf-spot" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "--data", "folder:/no/such/folder", "--out", "{tmp}/run", "--preset", "tiny"], "/no/such/folder"),
        (["train", "--data", "photos", "--out", "{tmp}/run", "--set", "game.drop=1"], "game.drop"),
        (["train", "--data", "photos", "--out", "{tmp}/run", "--set", "game.drop_rate"], "field.name=value"),
        (["evaluate", "{tmp}", "--data", "photos", "--task", "linear"], "config.json"),
        (["spot", "{tmp}", "{tmp}/x.png", "--out", "{tmp}/y"], "config.json"),
        (["report", "{tmp}"], "config.json"),
    ],
)
def test_mistakes_are_told_in_one_line(words, says, tmp_path, capsys) -> None:
    assert main([word.format(tmp=tmp_path) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tf-spot: ") and err.count("\n") == 1 and says in err


def test_debug_shows_the_trace(tmp_path, capsys) -> None:
    assert main(["report", str(tmp_path), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_exit_code_reaches_the_shell(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tf_spot", "train", "--data", "photos", "--out", str(tmp_path / "run"), "--set", "x=1"],
        capture_output=True, text=True, env=QUIET_GPU,
    )  # fmt: skip
    assert done.returncode == 2 and "received: x" in done.stderr and "Traceback" not in done.stderr


def test_a_mistake_found_after_tensorflow_is_one_line_too(tmp_path) -> None:
    """Without the lines that TensorFlow writes while it is loaded; another line of that time is shown."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, importlib.abc, os, sys\n"
        "class Late(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'tensorflow.python': sys.meta_path.remove(self); os.write(2, b'a word of mine\\n')\n"
        "sys.meta_path.insert(0, Late())\n"
    )
    words = ["train", "--data", f"folder:{tmp_path / 'none'}", "--out", str(tmp_path / "run"), "--preset", "tiny"]
    environment = QUIET_GPU | {"PYTHONPATH": str(tmp_path)}
    del environment["TF_CPP_MIN_LOG_LEVEL"]  # the tests' own
    done = subprocess.run([sys.executable, "-m", "tf_spot", *words], capture_output=True, text=True, env=environment)
    mine, mistake = done.stderr.splitlines()
    assert done.returncode == 2 and mine == "a word of mine" and mistake.startswith("tf-spot: ")


# --- train ------------------------------------------------------------------------------------------------------------


def test_train_makes_a_run_with_the_preset_and_its_changes(run) -> None:
    config = Config.load(run / "config.json")
    assert (config.preset, config.data.image_size, config.training.spotter_steps) == ("tiny", 16, 3)
    assert config.network.trunk_norm == "batch"  # the preset's
    assert (run / "autoencoder.keras").is_file() and (run / "spotter.keras").is_file()


def test_train_tells_the_plan_first_and_the_figures_as_json(spec, run, capsys) -> None:
    """Resuming a finished run trains nothing more, and tells how it ended."""
    assert main(["train", "--data", spec, "--out", str(run), "--resume", "--json"]) == 0
    out, err = capsys.readouterr()
    figures = last_line(out)
    assert figures["plan"]["cells"] == "4 x 4" and figures["plan"]["photos"] == 24  # a fifth of 30 is held out
    assert figures["plan"]["autoencoder_steps"] == 2 and figures["plan"]["discriminator_parameters"] > 1000
    assert figures["last"]["stage"] == "spotter" and figures["last"]["step"] == 3
    for value in figures["plan"].values():
        assert str(value) in err
    for value in figures["last"].values():
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


# --- evaluate ---------------------------------------------------------------------------------------------------------


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


# --- spot, report -----------------------------------------------------------------------------------------------------


def test_spot_tells_scores_and_fails_for_bad_files_at_the_end(run, tmp_path, capsys) -> None:
    bad, good = tmp_path / "bad.png", tmp_path / "good.png"
    bad.write_text("no picture")
    Image.new("RGB", (40, 20), "olive").save(good)
    assert main(["spot", str(run), str(bad), str(good), "--out", str(tmp_path / "out"), "--json"]) == 2
    out, err = capsys.readouterr()
    figures = last_line(out)
    assert [entry["path"] for entry in figures["images"]] == [str(good)]
    assert f"score {figures['images'][0]['score']:.3f}" in out.splitlines()[0]
    assert str(bad) in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.json", "good.png", "spot.json"]


def test_report_tells_where_it_is(run, capsys) -> None:
    assert main(["report", str(run), "--json"]) == 0
    out = capsys.readouterr().out
    assert last_line(out) == {"report": str(run / "report.html")} and (run / "report.html").is_file()


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


def test_figures_are_told_in_few_digits() -> None:
    figures = {"run": "mine", "images_seen": 12345678, "learning_rate": 9.999999747378752e-06, "loss": 0.123456789}
    assert [line.split()[-1] for line in format_metrics(figures).splitlines()] == [
        "mine",
        "12345678",
        "1e-05",
        "0.123457",
    ]
