"""`tf-spot ablate`: variants, sharing the autoencoder, continuing, failing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.recorded_photos import RecordedPhotos
from tests.support.tiny_recipe import TINY
from tf_spot.cli import main
from tf_spot.config import ABLATIONS, PAPER, PRESETS, Ablation, Config, preset
from tf_spot.data import open_source
from tf_spot.errors import UserError
from tf_spot.experiments import ablation
from tf_spot.experiments.ablation import _rank_correlation, _rank_correlations, ablate, format_ablation
from tf_spot.training.train import train

ROOT = Path(__file__).parents[2]
CONFIG = preset("tiny").replace(**TINY | {"training.steps_per_epoch": 2})


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("photos")
    numbers = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 6)):
        for i in range(2 * count):
            path = folder / split / "ab"[i % 2] / f"{i:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(numbers.integers(0, 256, (20, 20, 3), np.uint8)).save(path)
    return f"folder:{folder}"


def test_each_row_changes_what_the_paper_changed() -> None:
    changed = {row: PAPER.replace(**variant.changes) for row, variant in ABLATIONS.items()}
    assert list(changed) == ["baseline", *"abcdefghijkl"] and changed["baseline"] == PAPER
    assert len({config.to_json() for config in changed.values()}) == 13
    assert changed["l"].game.real_images == "original", "a GAN of photos"
    assert [changed[row].game.drop_rate for row in "cdef"] == [0.1, 0.3, 0.7, 0.9]


@pytest.mark.parametrize(
    ("values", "wanted"), [((1, 2, 3, 4), 1.0), ((4, 3, 2, 1), -1.0), ((2, 1, 3, 4), 0.8), ((1, 1, 1, 1), None)]
)
def test_rank_correlation_is_spearmans(values: tuple[int, ...], wanted: float | None) -> None:
    """One swap of neighbours: 1 - 6 * 2 / (4 * 15) = 0.8. The untrained network has no figure in the paper."""
    paper = [70.0, 75.0, 80.0, 81.0]
    rows = {
        str(i): {"by_layer": {"conv3": -value, "conv5": value}, "paper": paper[i]} for i, value in enumerate(values)
    }
    assert _rank_correlation(rows | {"random": {"by_layer": {"conv5": 99}, "paper": None}}) == wanted
    assert _rank_correlation({name: rows[name] for name in "012"}) is None


def test_rows_are_ranked_with_and_without_the_gan() -> None:
    """The four others are in the paper's order; the GAN, last there, is first here: 1 - 6 * 20 / (5 * 24) = 0."""
    paper = {"k": 54.74, "c": 70.92, "a": 74.99, "baseline": 79.94, "l": 50.0}
    rows = {name: {"by_layer": {"conv5": i}, "paper": value} for i, (name, value) in enumerate(paper.items())}
    assert _rank_correlations(rows) == {"rank_correlation": 0.0, "rank_correlation_without_l": 1.0}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("variant", ABLATIONS)
def test_every_row_can_be_made_from_every_preset(name: str, variant: str) -> None:
    """The GAN has no kept cells, whose pixels the recipe of authors2019 compares."""
    config = preset(name).replace(**ABLATIONS[variant].changes)
    assert variant != "l" or config.game.kept_weight == 0


def test_a_row_that_cannot_be_made_is_told_before_any_training(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = Ablation("no such filler", {"game.fill": "stars"}, 50.0)
    monkeypatch.setitem(ABLATIONS, "l", impossible)
    with pytest.raises(UserError, match="game.fill must be one of"):
        ablate(CONFIG, spec, tmp_path / "out", ("baseline", "l", "k"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_rows_share_the_autoencoder_go_on_and_fail_alone(spec: str, tmp_path: Path) -> None:
    (tmp_path / "c-0").mkdir()
    (tmp_path / "c-0" / "holiday.txt").write_text("not a run")
    told: list[Any] = []
    arguments: dict[str, Any] = {"num_values": 32, "on_progress": lambda *words: told.append(words)}
    rows = ("baseline", "c", "h", "k", "l")
    first = ablate(CONFIG, spec, tmp_path, rows, **arguments)
    assert list(first["rows"]) == ["random", "baseline", "h", "k", "l"]
    assert list(first["failed"]) == ["c-0"] and "holds other files" in first["failed"]["c-0"]
    assert "Traceback" in (tmp_path / "c-0" / "error.txt").read_text()
    trained = {text.split("/")[0] for _, _, text in told if "autoencoder" in text}
    assert trained == {"baseline-0", "h-0"}, "only h has an autoencoder of its own"
    assert first["rows"]["k"]["images_seen"] == first["rows"]["baseline"]["images_seen"] == 2 * 4 + 2 * 4
    assert first["rows"]["baseline"]["mask_auc"][0] is not None and first["rows"]["l"]["mask_auc"] == [None]
    assert set(first["rows"]["l"]["by_layer"]) == {"conv1", "conv2", "conv3", "conv4", "conv5"}

    for name in ("holiday.txt", "error.txt"):
        (tmp_path / "c-0" / name).unlink()
    told.clear()
    second = ablate(CONFIG, spec, tmp_path, rows, **arguments)
    assert {text.split("/")[0] for _, _, text in told} == {"c-0"}, "finished rows ran again"
    assert not second["failed"] and second["rows"]["baseline"] == first["rows"]["baseline"]
    assert json.loads((tmp_path / "ablation.json").read_text())["rows"] == second["rows"]
    table = format_ablation(second).splitlines()
    ranked = second["rank_correlation"] is not None
    in_brackets = any(line.startswith("in brackets: within two") for line in table)
    assert len(table) == 2 + 6 + in_brackets + ranked and table[-1].startswith("rank correlation") == ranked
    assert table[1].split()[:6] == ["conv1", "conv2", "conv3", "conv4", "conv5", "vs"]
    assert table[4].startswith("(c) drop rate 0.1") and table[4].endswith("70.92")
    assert second["test_images"] == 12 and second["rows"]["c"]["layer"] == "conv5"

    changed = CONFIG.replace(**{"game.mask_weight": 0.3})
    with pytest.raises(UserError, match="another configuration"):
        ablate(changed.replace(**{"network.width": 0.25}), spec, tmp_path, ("baseline",), **arguments)


@pytest.mark.slow
def test_rows_and_seeds_share_the_autoencoder_of_a_run(spec: str, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    train(CONFIG, spec, run)
    with pytest.raises(UserError, match="--autoencoder must be a run whose autoencoder fits the rows"):
        ablate(CONFIG, spec, out, ("h",), autoencoder=run)
    ablate(CONFIG, spec, out, ("k", "h"), seeds=2, num_values=32, autoencoder=run)
    origins = {path.parent.name: json.loads(path.read_text())["run"] for path in out.glob("*/autoencoder.json")}
    assert origins == {"k-0": str(run), "k-1": str(run)}, "(h) has another one"


@pytest.mark.parametrize(
    ("name", "seeds"), [("ablation-tiny-imagenette96", 1), ("ablation-tiny-imagenette96-two-seeds", 2)]
)
def test_a_committed_table_is_taken_as_finished(
    name: str, seeds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its photos are not here, so only their name is given; a row that would train anew fails."""
    folder = tmp_path / "table"
    shutil.copytree(ROOT / "results" / name, folder)
    committed = json.loads((folder / "ablation.json").read_text())
    record = {"spec": "folder:elsewhere", "name": committed["data"], "fingerprint": "as it was"}
    monkeypatch.setattr(ablation, "open_source", lambda spec, config: RecordedPhotos(record))
    monkeypatch.setattr(ablation, "train", None)
    monkeypatch.setattr(ablation, "random_backbone", None)
    config, variants = Config.from_record(committed["config"]), [row for row in committed["rows"] if row != "random"]
    values = committed["probe_values"]
    again = ablate(config, "folder:elsewhere", folder, variants, seeds=seeds, num_values=values)
    assert again["failed"] == {} and again["rows"] == committed["rows"] and len(variants) >= 5
    ranks = format_ablation(committed).splitlines()[-1]
    assert f"order of rows: {again['rank_correlation']:.2f}, without (l): " in ranks
    assert ranks == format_ablation(again).splitlines()[-1], "computed anew from the layers"

    with pytest.raises(UserError, match="made with another probe_values"):
        ablate(config, "folder:elsewhere", folder, variants, num_values=values + 1)
    record["name"] = "other photos"
    with pytest.raises(UserError, match="made with another data"):
        ablate(config, "folder:elsewhere", folder, variants, num_values=values)


def test_the_photos_are_opened_once(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    given: list[Any] = []

    def failing(config: Any, source: Any, *_: Any, **__: Any) -> Any:
        given.append(source)
        raise RuntimeError("not trained")

    def opening(*arguments: Any) -> Any:
        opened.append(open_source(*arguments))
        return opened[-1]

    monkeypatch.setattr(ablation, "open_source", opening)
    monkeypatch.setattr(ablation, "train", failing)
    result = ablate(CONFIG, spec, tmp_path, ("a", "b"), seeds=2, num_values=32)
    assert len(opened) == 1 and given == opened * 4
    assert list(result["failed"]) == ["a-0", "b-0", "a-1", "b-1"] and list(result["rows"]) == ["random"]


def test_mistakes_are_named(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="--rows must name some of baseline,a,b.*received: m, 1"):
        ablate(CONFIG, spec, tmp_path, ("baseline", "m"))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text(CONFIG.to_json())
    with pytest.raises(UserError, match=r"a run with autoencoder\.keras; received: .*begun; finish its training first"):
        ablate(CONFIG, spec, tmp_path / "out", autoencoder=tmp_path / "begun")
    with pytest.raises(UserError, match="a probe needs labelled photos; received folder:"):
        ablate(CONFIG, f"{spec}/train/a", tmp_path)
    assert main(["ablate", "--data", spec, "--out", str(tmp_path / "x"), "--rows", "z", "--preset", "tiny"]) == 2
    assert "received: z" in capsys.readouterr().err
