"""`tf-spot spot`: scores on stdout, unreadable files on stderr, and the exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.commands.example import last_line
from tf_spot.cli import main
from tf_spot.config import preset
from tf_spot.data import load
from tf_spot.models.from_config import build_autoencoder, build_spotter
from tf_spot.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained spotter of 16 pixels in a run folder."""
    small = {"data.image_size": 16, "network.width": 0.125, "network.fc_units": 8, "training.batch_size": 4}
    config = preset("tiny").replace(**small)
    data = {"spec": "none", "name": "none", "fingerprint": "", "counts": {}}
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", config, data)
    build_spotter(config, build_autoencoder(config)).save(run.model_path("spotter"))
    return run.path


def test_scores_of_good_files_and_a_line_for_each_bad_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, out = tmp_path / "good.png", tmp_path / "bad.png", tmp_path / "out"
    Image.new("RGB", (40, 20), "olive").save(good)
    bad.write_text("no picture")
    assert main(["spot", str(run), str(good), "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [entry["path"] for entry in result["images"]] == [str(good)] and result["failed"] == []
    assert main(["spot", str(run), str(bad), str(good), "--out", str(out), "--json"]) == 2
    shown = capsys.readouterr()
    again = json.loads(shown.out.splitlines()[-1])
    assert again["images"] == result["images"]
    assert shown.out.splitlines()[0].startswith(f"score {result['images'][0]['score']:.3f}  heat map ")
    assert shown.err.splitlines()[-1].startswith(f"tf-spot: {bad} cannot be read: ")
    assert "tf-spot: no rank among held-out photos: the photos of this run cannot be found from here" in shown.err
    assert again.pop("held_out_images") == 0 and again["images"][0]["more_real_than"] is None
    assert json.loads((out / "spot.json").read_text()) == again


def test_a_photo_is_ranked_among_those_that_the_run_held_out(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(8):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (40, 20), (30 * number, 99, 99)).save(tmp_path / "photos" / f"{number}.png")
    shutil.copytree(run, tmp_path / "run")
    record = load(f"folder:{tmp_path / 'photos'}", image_size=16).record()
    (tmp_path / "run" / "data.json").write_text(json.dumps(record))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["data"]["held_out_share"] = 0.5
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    words = ["spot", str(tmp_path / "run"), str(tmp_path / "photos" / "3.png"), "--out", str(tmp_path / "out")]
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out.splitlines()[-1])
    assert result["held_out_images"] == 4 and "no rank" not in err
    (entry,) = result["images"]
    assert entry["more_real_than"] in (0, 0.25, 0.5, 0.75, 1)
    assert f"more real than {entry['more_real_than']:.0%} of 4 held-out photos" in out


def test_spot_prints_scores_and_fails_for_bad_files_at_the_end(run, tmp_path, capsys) -> None:
    bad, good = tmp_path / "bad.png", tmp_path / "good.png"
    bad.write_text("no picture")
    Image.new("RGB", (40, 20), "olive").save(good)
    assert main(["spot", str(run), str(bad), str(good), "--out", str(tmp_path / "out"), "--json"]) == 2
    out, err = capsys.readouterr()
    result = last_line(out)
    assert [entry["path"] for entry in result["images"]] == [str(good)]
    assert f"score {result['images'][0]['score']:.3f}" in out.splitlines()[0]
    assert str(bad) in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.json", "good.png", "spot.json"]
