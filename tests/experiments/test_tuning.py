"""`tf-spot tune`: continuing, failing, the objective, several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.tiny_recipe import TINY
from tf_spot.cli import main
from tf_spot.config import Config, preset
from tf_spot.errors import UserError
from tf_spot.experiments import tuning
from tf_spot.experiments.tuning import tune
from tf_spot.training.train import train

SETTINGS = TINY | {
    "data.held_out_share": 0.3,  # the mask head is judged on these few
    "training.steps_per_epoch": 1,
}
CONFIG = preset("tiny").replace(**SETTINGS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = tmp_path_factory.mktemp("photos")
    numbers = np.random.default_rng(0)
    for i in range(40):
        path = photos / "train" / "ab"[i % 2] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers.integers(0, 256, (20, 20, 3), np.uint8)).save(path)
    return photos


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"space": ["speed"]}, "--space must name some of drop_rate,.*received: speed"),
        ({"oracle": "guess"}, "--oracle must be one of grid, random, bayesian, hyperband; received: guess"),
        ({"seeds": 0}, "--seeds must be at least 1; received: drop_rate, 0"),
        ({"trials": 0}, "--trials must be at least 1; received: 0"),
        ({"objective": "loss"}, "--objective must be one of probe, mask_auc"),
        ({"space": ["width"], "autoencoder": "RUN"}, "leave one out"),
    ],
)
def test_mistakes_are_one_line(folder: Path, tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        tune(CONFIG, f"folder:{folder}", tmp_path, **options)
    assert "\n" not in str(caught.value)


def test_without_labels_the_objective_is_the_mask_head(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="probe needs labelled photos"):
        for i in range(8):
            Image.new("RGB", (20, 20), (i, 0, 0)).save(tmp_path / f"{i}.png")
        tune(CONFIG, f"folder:{tmp_path}", tmp_path / "out", objective="probe")


@pytest.mark.slow
def test_a_grid_goes_on_after_a_kill_and_names_what_failed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second trial is stopped as Ctrl-C would, the third meets a folder in its way."""
    spec, out = f"folder:{folder}", tmp_path / "out"
    begun: list[str] = []

    def stop(done: int, total: int, text: str) -> None:
        begun.append(text.split("/")[0])
        if text.startswith("1-"):
            raise KeyboardInterrupt

    arguments: dict[str, Any] = {"trials": 3, "num_values": 32, "seeds": 1}
    with pytest.raises(KeyboardInterrupt):
        tune(CONFIG, spec, out, on_progress=stop, **arguments)
    assert set(begun) == {"0-0", "1-0"}
    (out / "trials" / "2-0").mkdir(parents=True)
    (out / "trials" / "2-0" / "holiday.txt").write_text("not a run")
    with pytest.raises(UserError, match="which holds other files"):
        tune(CONFIG, spec, out, **arguments)
    (out / "trials" / "2-0" / "holiday.txt").unlink()

    begun.clear()
    monkeypatch.setattr(tuning, "held_out_probe", None)  # something breaks in the last trial
    result = tune(
        CONFIG, spec, out, on_progress=lambda done, total, text: begun.append(text.split("/")[0]), **arguments
    )
    assert set(begun) == {"2-0"}, "finished trials ran again"
    assert list(result["failed"]) == ["2"] and "NoneType" in result["failed"]["2"]
    assert sorted(row["values"]["game.drop_rate"] for row in result["trials"]) == [0.1, 0.3]
    best = result["trials"][0]
    assert best["objective"] == max(row["objective"] for row in result["trials"])
    assert Config.load(out / "config.json").game.drop_rate == best["values"]["game.drop_rate"]
    assert (out / "tune.png").stat().st_size > 10_000
    origins = [path.parent.name for path in out.glob("trials/*/autoencoder.json")]
    assert origins == ["1-0"] or set(origins) == {"1-0", "2-0"}, "trials share the autoencoder of the first"
    with pytest.raises(UserError, match="another probe_values"):
        tune(CONFIG, spec, out, **arguments | {"num_values": 64})


@pytest.mark.slow
@pytest.mark.parametrize("oracle", ["random", "bayesian", "hyperband"])
def test_other_oracles_by_the_command(folder: Path, tmp_path: Path, oracle: str, capfd: Any) -> None:
    sets = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    words = ["tune", "--preset", "tiny", "--data", f"folder:{folder}", "--out", str(tmp_path / "out"), *sets]
    words += ["--oracle", oracle, "--space", "drop_rate,adversarial_loss", "--objective", "mask_auc", "--json"]
    words += ["--strategy", "mirrored"] if oracle == "random" else []
    assert main([*words, "--trials", "2"]) == 0
    result = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert len(result["trials"]) == 2 and not result["failed"]
    assert all(set(row["values"]) >= {"game.drop_rate", "game.adversarial_loss"} for row in result["trials"])
    steps = {row["runs"][0]["images_seen"] for row in result["trials"]}
    assert len(steps) >= 1


@pytest.mark.slow
def test_two_processes_share_a_search(folder: Path, tmp_path: Path) -> None:
    """Keras Tuner's chief hands out trials, a worker runs them; the chief writes the table."""
    spec = f"folder:{folder}"
    train(CONFIG, spec, tmp_path / "run")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    sets = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    words = [sys.executable, "-m", "tf_spot", "tune", "--preset", "tiny", "--data", spec, "--out", "out", *sets]
    words += ["--trials", "2", "--objective", "mask_auc", "--autoencoder", "run"]

    def start(name: str) -> subprocess.Popen[str]:
        variables = {"KERASTUNER_TUNER_ID": name, "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port}
        environment = os.environ | variables | {"PYTHONPATH": str(Path(__file__).parents[2])}
        pipe = subprocess.PIPE
        return subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    processes = [start("chief"), start("worker0")]
    try:
        told = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], told
    result = json.loads((tmp_path / "out" / "tune.json").read_text())
    assert len(result["trials"]) == 2 and not result["failed"]
