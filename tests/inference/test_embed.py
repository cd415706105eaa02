"""Rows of features: their values, their order, both kinds of file, and going on after a stop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

import tf_spot
from tf_spot.cli import main
from tf_spot.data import load
from tf_spot.errors import UserError
from tf_spot.exporters.export import export
from tf_spot.features.pooling import averaged
from tf_spot.inference.embed import embed
from tf_spot.inference.embedder import open_embedder
from tf_spot.runs.load import load_spotter


def rows(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path) as columns:
            return dict(columns)
    table = parquet.read_table(path)
    return {
        "id": table["id"].to_numpy(),
        "path": np.array(table["path"].to_pylist()),
        "embedding": np.array(table["embedding"].to_pylist(), np.float32),
        "split": np.array(table["split"].to_pylist()),
        "label": np.array(table["label"].to_pylist()),
    }


def test_a_row_is_the_average_of_conv5(config, run, photos, whole):
    """By the backbone's own call, one photo at a time; the unreadable photo leaves a gap in the ids."""
    source = load(f"folder:{photos}", image_size=16, config=config.data)
    backbone = load_spotter(run).backbone
    found = rows(whole)
    assert found["id"].tolist() == [i for i in range(27) if i != 6]
    assert found["path"][[0, 5, 6, 21, 25]].tolist() == [
        "train/ant/00.png",
        "train/ant/05.png",
        "train/ant/07.png",
        "test/ant/00.png",
        "test/bee/01.png",
    ]
    assert found["split"].tolist() == ["train"] * 21 + ["test"] * 5
    assert found["label"].tolist() == ["ant"] * 10 + ["bee"] * 11 + ["ant"] * 3 + ["bee"] * 2
    images = [image for split in ("train", "test") for (image,) in source.images(split, 1)]
    expected = [backbone(image[None])["conv5"].numpy()[0].mean((0, 1)) for image in images]
    np.testing.assert_allclose(found["embedding"], expected, rtol=1e-4, atol=1e-5)
    assert found["embedding"].dtype == np.float32


def test_parquet_has_a_row_group_a_chunk_and_vectors_of_fixed_size(whole):
    """Chunks of 8 photos: 22 and 5 photos make 3 + 1, and the second row of the first chunk is one short."""
    file = parquet.ParquetFile(whole)
    groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    assert groups == [7, 8, 6, 5]
    assert [(field.name, str(field.type)) for field in file.schema_arrow] == [
        ("id", "int64"),
        ("path", "string"),
        ("embedding", "fixed_size_list<element: float>[32]"),
        ("split", "string"),
        ("label", "string"),
    ]


def test_parquet_says_of_what_model_and_photos_the_rows_are(run, whole):
    table = parquet.read_table(whole)
    assert table["split"].to_pylist() == ["train"] * 21 + ["test"] * 5
    assert table["label"].to_pylist() == ["ant"] * 10 + ["bee"] * 11 + ["ant"] * 3 + ["bee"] * 2
    facts = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert facts["tf_spot.layer"] == "conv5" and facts["tf_spot.version"] == tf_spot.__version__
    assert facts["tf_spot.model_sha256"] == open_embedder(run).digest


def test_npz_has_the_same_rows(run, photos, whole, tmp_path):
    embed(run, f"folder:{photos}", tmp_path / "all.npz", batch_size=4, chunk=8)
    found, expected = rows(tmp_path / "all.npz"), rows(whole)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_photos_of_all_kinds_in_their_order_and_a_chunk_without_any(config, run, tmp_path):
    """JPEG files, which are read apart, among PNG files; of the second chunk none can be read."""
    random = np.random.default_rng(0)
    names = ["0.png", "1.jpg", "2.png", "3.jpg", "4.jpg", "5.png", "6.jpg", "7.png", "8.png", "9.jpg"]
    (tmp_path / "photos").mkdir()
    for name in names:
        Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8)).save(tmp_path / "photos" / name, quality=90)
    for name in names[4:8]:
        (tmp_path / "photos" / name).write_text("no picture")
    spec, out = f"folder:{tmp_path / 'photos'}", tmp_path / "all.npz"
    assert embed(run, spec, out, batch_size=2, chunk=4) == {"rows": 6, "dim": 32, "unreadable": 4}
    found = rows(out)
    assert found["id"].tolist() == [0, 1, 2, 3, 8, 9]
    assert found["path"].tolist() == ["0.png", "1.jpg", "2.png", "3.jpg", "8.png", "9.jpg"]
    images = load(spec, image_size=16, config=config.data).images("train", 1)
    expected = np.concatenate([averaged(load_spotter(run).backbone)(image) for image in images])
    np.testing.assert_allclose(found["embedding"], expected, rtol=1e-4, atol=1e-5)


class Stop(Exception):
    pass


def stop_after(photos: int):
    def stop(done: int, total: int, text: str) -> None:
        assert (total, text) == (27, "embedding photos")
        if done >= photos:
            raise Stop

    return stop


@pytest.mark.parametrize("stopped_at", [8, 16, 22])
def test_a_stopped_job_goes_on_and_ends_with_the_same_file(run, photos, whole, tmp_path, stopped_at):
    out = tmp_path / "all.parquet"
    words = {"batch_size": 4, "chunk": 8}
    with pytest.raises(Stop):
        embed(run, f"folder:{photos}", out, on_progress=stop_after(stopped_at), **words)
    assert not out.exists()
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / ".all.parquet.parts").glob("*.npz")}
    assert len(parts) == {8: 1, 16: 2, 22: 3}[stopped_at]
    again: list[dict[Path, int]] = []
    embed(
        run,
        f"folder:{photos}",
        out,
        resume=True,
        on_progress=lambda *_: again.append({path: path.stat().st_mtime_ns for path in parts}),
        **words,
    )
    assert again[-1] == parts  # what was made before the stop was not made again
    assert out.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["all.parquet"]


def test_another_job_does_not_go_on(run, photos, tmp_path):
    out = tmp_path / "all.parquet"
    with pytest.raises(Stop):
        embed(run, f"folder:{photos}", out, batch_size=4, chunk=8, on_progress=stop_after(8))
    with pytest.raises(UserError, match="another layer, chunk"):
        embed(run, f"folder:{photos}", out, batch_size=4, chunk=12, layer="conv1", resume=True)
    embed(run, f"folder:{photos}", out, batch_size=4, chunk=12, layer="conv1")  # begins anew
    assert rows(out)["embedding"].shape == (
        26,
        averaged(load_spotter(run).backbone, "conv1")(np.zeros((1, 16, 16, 3), np.float32)).shape[1],
    )


@pytest.mark.parametrize(("split", "ids"), [("train", [*range(6), *range(7, 22)]), ("test", [*range(22, 27)])])
def test_one_split(run, photos, tmp_path, split, ids):
    embed(run, f"folder:{photos}", tmp_path / "some.npz", split=split)
    assert rows(tmp_path / "some.npz")["id"].tolist() == ids


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"out": "a.csv"}, r"must end in .parquet or .npz; received: a.csv"),
        ({"layer": "conv6"}, "--layer must be one of conv1, .*conv5; received: conv6"),
        ({"split": "val"}, "--split must be one of"),
        ({"batch_size": 0}, "--batch-size"),
        ({"model": "nowhere"}, "a run folder, or from a backbone that comes with the package .*received: nowhere"),
    ],
)
def test_mistakes_are_told(run, photos, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=says):
        embed(**{"model": run, "spec": f"folder:{photos}", "out": "a.npz"} | words)


def test_a_split_that_is_not_there_is_refused(run, photos, tmp_path):
    flat = photos / "train" / "bee"
    with pytest.raises(UserError, match="--split test needs photos with a test split"):
        embed(run, f"folder:{flat}", tmp_path / "a.npz", split="test")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["saved_model", "tflite", "onnx"])
def test_an_exported_model_gives_the_rows_of_its_run(config, run, photos, whole, tmp_path, kind):
    random = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    export(load_spotter(run), tmp_path / "model", format=kind, photos=random, config=config)
    expected = rows(whole)
    embed(tmp_path / "model", f"folder:{photos}", tmp_path / "all.npz", batch_size=4)
    found = rows(tmp_path / "all.npz")
    for name in ("id", "path"):
        np.testing.assert_array_equal(found[name], expected[name])
    scale = np.abs(expected["embedding"]).max()
    np.testing.assert_allclose(found["embedding"], expected["embedding"], atol=1e-4 * scale)
    conv1 = open_embedder(tmp_path / "model", "conv1")(np.zeros((2, 16, 16, 3), np.float32))
    np.testing.assert_allclose(conv1, open_embedder(run, "conv1")(np.zeros((2, 16, 16, 3), np.float32)), atol=1e-3)


def test_the_verb(run, photos, whole, tmp_path, capsys):
    out = tmp_path / "verb.parquet"
    words = ["embed", str(run), "--data", f"folder:{photos}", "--out", str(out), "--batch-size", "4", "--resume"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"rows": 26, "dim": 32, "unreadable": 1}
    np.testing.assert_array_equal(rows(out)["path"], rows(whole)["path"])
    np.testing.assert_allclose(rows(out)["embedding"], rows(whole)["embedding"], rtol=1e-5, atol=1e-6)
    assert main(["embed", str(run), "--data", f"folder:{photos}", "--out", str(tmp_path / "x.csv")]) == 2


def test_a_second_job_for_the_same_file_is_refused(run, photos, whole, tmp_path):
    """Both would write their rows into the same chunks."""
    out, refused = tmp_path / "all.parquet", []

    def second(done, total, text):
        with pytest.raises(UserError, match=f"only one embedding at a time .*received: {out}, which another"):
            embed(run, f"folder:{photos}", out, layer="conv1", resume=True)
        refused.append(done)

    embed(run, f"folder:{photos}", out, batch_size=4, chunk=8, on_progress=second)
    assert refused and out.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["all.parquet"]


def test_parts_of_other_images_are_not_taken(run, photos, tmp_path):
    """As another configuration of the same weights would have made them."""
    out = tmp_path / "all.parquet"
    with pytest.raises(Stop):
        embed(run, f"folder:{photos}", out, batch_size=4, chunk=8, on_progress=stop_after(8))
    record = tmp_path / ".all.parquet.parts" / "job.json"
    job = json.loads(record.read_text())
    job["images"][1]["center_crop"] = 0.5
    record.write_text(json.dumps(job))
    with pytest.raises(UserError, match="another images"):
        embed(run, f"folder:{photos}", out, batch_size=4, chunk=8, resume=True)


def test_a_damaged_part_is_made_anew(run, photos, whole, tmp_path):
    out = tmp_path / "all.parquet"
    with pytest.raises(Stop):
        embed(run, f"folder:{photos}", out, batch_size=4, chunk=8, on_progress=stop_after(16))
    part = tmp_path / ".all.parquet.parts" / "train-000000.npz"
    part.write_bytes(part.read_bytes()[:-100])
    embed(run, f"folder:{photos}", out, batch_size=4, chunk=8, resume=True)
    assert out.read_bytes() == whole.read_bytes()


def test_photos_without_a_row_are_named(run, photos, tmp_path, caplog):
    embed(run, f"folder:{photos}", tmp_path / "a.npz")
    assert "1 photo is left out, as they cannot be read: train/ant/06.png" in caplog.text


def test_a_name_of_the_greatest_length(run, photos, tmp_path):
    out = tmp_path / ("é" * 125 + ".npz")
    assert embed(run, f"folder:{photos}", out, split="test")["rows"] == 5
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
