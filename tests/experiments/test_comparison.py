"""`compare` on a small folder: rows, budgets, continuing, failures, table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tests.support.comparison_recipe import CONFIG, SETTINGS
from tests.support.recorded_photos import RecordedPhotos
from tf_spot.baselines import METHODS
from tf_spot.cli import main
from tf_spot.config import Config
from tf_spot.data import load
from tf_spot.errors import UserError
from tf_spot.experiments import comparison
from tf_spot.experiments.comparison import Budget
from tf_spot.runs.run import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compared(reds_and_blues, tmp_path_factory):
    """Two methods and two seeds, fast ones."""
    out = tmp_path_factory.mktemp("compared")
    told = []
    result = comparison.compare(
        CONFIG,
        reds_and_blues,
        out,
        ["random", "rotation"],
        seeds=2,
        budget=Budget(images=29),
        num_values=50,
        on_progress=lambda *words: told.append(words),
    )
    return out, result, told


@pytest.mark.slow
def test_rows_have_the_keys_of_a_result_and_spend_the_budget(compared) -> None:
    out, result, told = compared
    row = json.loads((out / "rotation-1" / "result.json").read_text())
    keys = {"task", "method", "data", "preset", "seed", "metric", "value", "stderr", "by_layer", "images_seen",
            "seconds", "command", "config", "commit", "versions", "machine"}  # fmt: skip
    assert keys <= set(row)
    assert (row["task"], row["method"], row["seed"], row["config"]["training"]["seed"]) == ("compare", "rotation", 1, 1)
    assert row["images_seen"] == 28 and row["seconds"] > 0  # 29 images are 7 batches of 4
    assert list(row["by_layer"]) == [f"conv{i}" for i in range(1, 6)]
    assert not list(out.glob("rotation-*/checkpoints/*")), "a finished row does not need them"
    lines = Run(out / "rotation-1").metrics()
    assert [(line["step"], line["images_seen"]) for line in lines] == [(3, 12), (6, 24), (7, 28)]
    assert lines[0]["learning_rate"] > lines[-1]["learning_rate"] == pytest.approx(1e-3 * 0.01)
    assert json.loads((out / "random-0" / "result.json").read_text())["images_seen"] == 0
    assert ("rotation-0/rotation", 7, 7) in {(text.split()[0], done, total) for done, total, text in told}
    assert result["methods"]["rotation"]["images_seen"] == [28, 28]
    assert [point["images_seen"] for point in row["curve"]] == [12, 24, 28], "epochs that end a quarter, and the end"
    assert all(0 <= point["value"] <= 100 for point in row["curve"])


@pytest.mark.slow
def test_the_table_has_mean_and_standard_error_over_seeds(compared) -> None:
    out, result, _ = compared
    values = [json.loads((out / f"random-{seed}" / "result.json").read_text())["value"] for seed in (0, 1)]
    random = result["methods"]["random"]
    assert random["value"] == random["by_layer"]["conv5"] == pytest.approx(np.mean(values), abs=0.01)
    assert random["stderr"] == pytest.approx(abs(values[0] - values[1]) / 2, abs=0.01)
    assert json.loads((out / "compare.json").read_text()) == result
    assert (out / "compare.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "29 images a method" in page and "<td>rotation</td>" in page and f"{random['value']:.1f} ±" in page
    assert page.count('<img src="data:image/svg+xml') == 1 and "http" not in page.split("</style>")[1].split("<pre>")[0]
    text = comparison.format_comparison(result)
    assert "29 images a method" in text and "±" in text and "rotation" in text


@pytest.mark.slow
def test_finished_rows_are_not_run_again_and_other_settings_refused(compared, reds_and_blues) -> None:
    out, result, _ = compared
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*.json*")}
    again = comparison.compare(
        CONFIG, reds_and_blues, out, ["random", "rotation"], seeds=2, budget=Budget(images=29), num_values=50
    )
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*.json*")} == before
    assert again["methods"] == result["methods"]
    with pytest.raises(UserError, match="received another budget"):
        comparison.compare(CONFIG, reds_and_blues, out, ["random"], budget=Budget(images=33), num_values=50)
    other = CONFIG.replace(**{"game.weight_decay": 0.1})
    with pytest.raises(UserError, match="received another config"):
        comparison.compare(other, reds_and_blues, out, ["random"], budget=Budget(images=29), num_values=50)


def test_a_committed_table_is_taken_as_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its photos are not here, so only their record is given; a row that would train anew fails."""
    folder = tmp_path / "table"
    shutil.copytree(ROOT / "results" / "comparison-imagenette96", folder)
    committed = json.loads((folder / "compare.json").read_text())
    photos = RecordedPhotos(committed["data"])
    monkeypatch.setattr(comparison, "open_source", lambda spec, config: photos)
    monkeypatch.setattr(comparison, "train_row", None)
    # It could not be switched off again in this process.
    monkeypatch.setattr(comparison.tf.config.experimental, "enable_op_determinism", lambda: None)
    config, arguments = Config.from_record(committed["config"]), {"num_values": committed["probe_values"]}
    arguments["budget"] = Budget(**committed["budget"])
    methods = list(committed["methods"])
    again = comparison.compare(config, "folder:elsewhere", folder, methods, **arguments)
    assert again["failed"] == {} and list(again["methods"]) == methods and len(methods) == 12
    for method, row in committed["methods"].items():
        same = row.keys() - {"value"}  # that of the best layer of the test in files of earlier versions
        assert {key: again["methods"][method][key] for key in same} == {key: row[key] for key in same}
    assert comparison.format_comparison(again) == comparison.format_comparison(committed)
    table = comparison.format_comparison(committed).splitlines()
    assert [line.split()[0] for line in table[2:5]] == ["supervised", "rotation", "simclr"], "in the order of conv5"
    assert table[-2] == "autoencoder: e0 41.0, e1 44.4, e2 48.8, e3 47.6"
    jigsaw = next(line for line in table if line.startswith("jigsaw"))
    assert jigsaw.split()[6] == "(+0.0)" and table[-1].startswith("in brackets: within two standard errors")

    with pytest.raises(UserError, match="received another probe_values"):
        comparison.compare(config, "folder:elsewhere", folder, methods, **arguments | {"num_values": 9_000})
    photos.known = photos.known | {"fingerprint": "of other photos"}
    with pytest.raises(UserError, match="received another data"):
        comparison.compare(config, "folder:elsewhere", folder, methods, **arguments)


@pytest.mark.slow
def test_a_failing_row_does_not_stop_the_others(reds_and_blues, tmp_path) -> None:
    """So high a learning rate for the trained row alone that its loss is not finite; then it is mended."""
    wild = CONFIG.replace(**{"training.autoencoder_learning_rate": 1e30})
    arguments = (reds_and_blues, tmp_path, ["autoencoder", "random"])
    result = comparison.compare(wild, *arguments, budget=Budget(images=40), num_values=50)
    assert list(result["failed"]) == ["autoencoder-0"] and list(result["methods"]) == ["random"]
    assert "NonFiniteLoss" in (tmp_path / "autoencoder-0" / "error.txt").read_text()
    assert "failed: autoencoder-0" in comparison.format_comparison(result)


def words(spec, out, methods, *more):
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    return ["compare", "--data", spec, "--out", str(out), "--methods", methods, "--preset", "tiny", *settings, *more]


@pytest.mark.slow
def test_the_command_spot_autoencoder_and_supervised(reds_and_blues, tmp_path, capsys) -> None:
    """Each by its own kind of training; spot's two stages share the budget 1 to 3."""
    code = main(words(reds_and_blues, tmp_path, "spot,autoencoder,supervised", "--budget-images", "64", "--json"))
    out = capsys.readouterr().out.splitlines()
    figures = json.loads(out[-1])
    assert code == 0 and figures["failed"] == {}
    assert [figures["methods"][name]["images_seen"] for name in ("spot", "autoencoder", "supervised")] == [[64]] * 3
    lines = Run(tmp_path / "spot-0").metrics()
    assert max(line["step"] for line in lines if line["stage"] == "autoencoder") == 4
    assert max(line["step"] for line in lines if line["stage"] == "spotter") == 12
    (curve,) = figures["methods"]["spot"]["curves"]
    assert [point["images_seen"] for point in curve] == [28, 40, 52, 64], "16 of the autoencoder, then quarters"
    assert list(figures["methods"]["autoencoder"]["by_layer"]) == ["e0", "e1", "e2"]
    assert (tmp_path / "spot-0" / "backbone.keras").is_file() and (tmp_path / "supervised-0/backbone.keras").is_file()
    assert sorted(line.split()[0] for line in out[2:5]) == ["autoencoder", "spot", "supervised"]
    assert out[5].startswith("autoencoder: e0 ")


@pytest.mark.slow
def test_every_other_method_gives_a_row(reds_and_blues, tmp_path) -> None:
    methods = [name for name in METHODS if name not in ("spot", "autoencoder", "supervised", "random", "rotation")]
    result = comparison.compare(CONFIG, reds_and_blues, tmp_path, methods, budget=Budget(images=8), num_values=50)
    assert result["failed"] == {} and list(result["methods"]) == methods
    photos = load(reds_and_blues, image_size=16, config=CONFIG.data).count("unlabelled")
    for name in methods:
        again = keras.saving.load_model(tmp_path / f"{name}-0" / "backbone.keras", compile=False)
        assert again(np.zeros((1, 16, 16, 3), np.float32))["conv5"].shape[0] == 1
        images = photos if name == "kmeans" else 8
        assert result["methods"][name]["images_seen"] == [images]


@pytest.mark.slow
def test_the_command_says_by_its_exit_code_that_a_row_failed(reds_and_blues, tmp_path, capsys) -> None:
    code = main([*words(reds_and_blues, tmp_path, "autoencoder"), "--set", "training.autoencoder_learning_rate=1e30"])
    assert code == 1 and "NonFiniteLoss" in capsys.readouterr().out


@pytest.mark.slow
def test_a_budget_of_seconds_ends_by_the_clock(reds_and_blues, tmp_path) -> None:
    """At the first step whose end is past the budget: all lines but the last are from before."""
    budget = Budget(seconds=6.0)
    result = comparison.compare(CONFIG, reds_and_blues, tmp_path, ["rotation"], budget=budget, num_values=50)
    spent = result["methods"]["rotation"]
    *earlier, last = Run(tmp_path / "rotation-0").metrics()
    assert spent["seconds"][0] == pytest.approx(last["seconds"], abs=0.01) and last["seconds"] >= 6
    assert all(line["seconds"] < 6 for line in earlier)
    assert last["images_seen"] == spent["images_seen"][0] > 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"methods": ["spot", "magic"]}, "received: magic, 1"),
        ({"methods": []}, "received: no name"),
        ({"seeds": 0}, "--seeds must be at least 1"),
        ({"budget": Budget(images=7)}, "two batches at least, here 8 images"),
    ],
)
def test_mistakes_are_told_in_one_line(reds_and_blues, tmp_path, changes, says) -> None:
    arguments = {"methods": ["random"]} | changes
    with pytest.raises(UserError, match=says):
        comparison.compare(CONFIG, reds_and_blues, tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_photos_without_labels_are_refused(tmp_path) -> None:
    Image.new("RGB", (24, 24)).save(tmp_path / "a.png")
    Image.new("RGB", (24, 24)).save(tmp_path / "b.png")
    with pytest.raises(UserError, match="a probe needs labelled photos; received folder:"):
        comparison.compare(CONFIG, f"folder:{tmp_path}", tmp_path / "out")
