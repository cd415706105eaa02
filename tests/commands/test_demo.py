"""The demo on the built-in photos, cut short; and that it removes nothing but itself."""

import json
from pathlib import Path

import pytest

from tf_spot.cli import main
from tf_spot.commands.demo import demo
from tf_spot.config import preset
from tf_spot.errors import UserError
from tf_spot.storage.files import write_json, write_text

SHORT = preset("tiny").replace(
    **{
        "network.width": 0.125,
        "network.fc_units": 8,
        "training.batch_size": 8,
        "training.autoencoder_steps": 2,
        "training.spotter_steps": 2,
        "training.deterministic": False,  # it cannot be switched off again in this process
    }
)


@pytest.mark.slow
def test_demo_goes_from_training_to_report_and_replaces_an_earlier_one(tmp_path) -> None:
    out = tmp_path / "demo"
    earlier = {"config": {"preset": "tiny"}, "data": {"spec": "photos"}, "results/knn-photos": {}}
    for name, value in (earlier | {"versions": {"command": ["tf-spot", "--debug", "demo"]}}).items():
        write_json(out / f"{name}.json", value)
    calls = []
    result = demo(out, lambda *progress: calls.append(progress), SHORT)
    assert [path.name for path in (out / "results").rglob("*.json")] == ["linear-photos.json"]
    assert set(result["rivals"]) == {"random", "encoding", "pixels"} and result["test_images"] == 400
    assert json.loads((out / "results" / "linear-photos.json").read_text())["value"] == result["value"]
    names = [Path(entry["path"]).name for entry in result["spotted"]["images"]]
    assert names == [f"{photo}-{kind}.png" for photo in ("china", "flower") for kind in ("autoencoded", "repaired")]
    autoencoded, repaired = result["spotted"]["images"][:2]
    assert autoencoded["heat_map"] != repaired["heat_map"]
    assert all((out / "heat_maps" / entry["overlay"]).is_file() for entry in result["spotted"]["images"])
    assert Path(result["report"]) == out / "report.html"
    assert {text.split()[0] for _, _, text in calls} == {"autoencoder", "spotter", "probing"}


@pytest.mark.parametrize(
    "files",
    [
        {"notes.txt": "mine"},
        {"config.json": "{"},
        {"config.json": "[]", "data.json": "[]"},
        {"config.json": '{"preset": "small"}', "data.json": '{"spec": "photos"}'},
        {"config.json": '{"preset": "tiny"}', "data.json": '{"spec": "folder:mine"}'},
        {
            "config.json": '{"preset": "tiny"}',
            "data.json": '{"spec": "photos"}',
            "versions.json": '{"command": ["tf-spot", "train", "--out", "demo"]}',
        },
    ],
)
def test_other_folders_are_left_alone(files, tmp_path, capsys) -> None:
    for name, text in files.items():
        write_text(tmp_path / name, text)
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "--out" in capsys.readouterr().err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


def test_file_is_left_alone(tmp_path) -> None:
    write_json(tmp_path / "file", {})
    with pytest.raises(UserError, match="--out"):
        demo(tmp_path / "file")
