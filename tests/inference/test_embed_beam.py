"""The pipeline's rows are those of `embed`: its chunks here, all of it in an environment of its own that has Beam."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.test_packaging import called, wheel  # noqa: F401 (a fixture)
from tf_spot.data import load
from tf_spot.errors import UserError
from tf_spot.inference.embed_beam import Job, chunks, embed, main
from tf_spot.inference.embedder import open_embedder
from tf_spot.inference.embedding_files import schema


@pytest.fixture(scope="module")
def job(run, photos) -> Job:
    embedder = open_embedder(run, batch_size=4)
    source = load(f"folder:{photos}", image_size=16, config=embedder.data)
    return Job(str(run), f"folder:{photos}", "conv5", 4, 8, embedder.digest, source.fingerprint)


@pytest.fixture(scope="module")
def opened(job) -> tuple:
    return job.open()


def by_id(*files: Path) -> dict[str, list]:
    table = pa.concat_tables([parquet.read_table(file) for file in files]).sort_by("id")
    return {name: table[name].to_pylist() for name in ("id", "path", "embedding")}


def test_chunks_cover_every_split(opened) -> None:
    """22 photos to train on and 5 to test on."""
    source = opened[1]
    assert chunks(source, ["train", "test"], 8) == [("train", 0), ("train", 8), ("train", 16), ("test", 0)]
    assert chunks(source, ["test"], 5) == [("test", 0)]


def test_rows_of_chunks_are_those_of_embed(job, opened, whole) -> None:
    """In another order than the photos', and bit for bit, as a chunk has the batches of an unbroken stream."""
    starts = [("test", 0), ("train", 16), ("train", 0), ("train", 8)]
    made = [row for start in starts for row in job.rows(*opened, *start)]
    assert [row["id"] for row in made][:8] == [22, 23, 24, 25, 26, 16, 17, 18]
    written = pa.Table.from_pylist(made, schema(32, {})).sort_by("id")
    assert written.equals(parquet.read_table(whole))
    assert len(made) == 26 and 6 not in [row["id"] for row in made]  # that photo cannot be read


def test_a_worker_with_other_files_stops(job) -> None:
    with pytest.raises(UserError, match="received: other weights in"):
        job._replace(digest="another").open()
    with pytest.raises(UserError, match="received: other photos of folder:"):
        job._replace(fingerprint="another").open()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"split": "val"}, "--split must be one of train, test, all; received: val"),
        ({"batch_size": 0}, "--batch-size and the chunk must be 1 or more"),
        ({"chunk": 0}, "--batch-size and the chunk must be 1 or more"),
        ({}, r"needs apache-beam, which is missing; run pip install tf-spot\[beam\]"),
    ],
)
def test_mistakes_are_told_before_any_work(tmp_path, monkeypatch, words, says) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # as if it were not installed
    with pytest.raises(UserError, match=says):
        embed(tmp_path / "no run", "photos", tmp_path / "rows", **words)


def test_the_command_tells_mistakes_in_a_line(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    words = [str(tmp_path), "--data", "photos", "--out", "rows", "--runner", "DirectRunner"]
    assert main(words) == 2
    assert capsys.readouterr().err == (
        "tf-spot: a pipeline needs apache-beam, which is missing; run pip install tf-spot[beam]\n"
    )
    assert main([*words, "--batch-size", "-1"]) == 2
    for wrong in (["--split", "val"], ["--batch-size", "many"]):
        with pytest.raises(SystemExit, match="2"):
            main([*words, *wrong])


PIPELINE = """
from tf_spot.inference.embed_beam import embed
figures = embed({run!r}, {spec!r}, "parts/rows", batch_size=4, chunk=8, options=[
    "--direct_running_mode=multi_processing", "--direct_num_workers=2"
])
print(figures)
"""


@pytest.mark.slow
def test_the_pipeline_writes_the_rows_of_embed(
    wheel: zipfile.ZipFile,  # noqa: F811
    run: Path,
    photos: Path,
    whole: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """On the DirectRunner, in a new environment with the extra alone: several minutes, most of them to install it.

    Bit for bit within one environment; other versions of Pillow and NumPy than here may round otherwise.
    """
    commands = tmp_path_factory.mktemp("environments") / "beam" / "bin"
    called([sys.executable, "-m", "venv", commands.parent], tmp_path)
    called([commands / "pip", "install", "--quiet", "--no-compile", f"{wheel.filename}[beam]"], tmp_path)
    spec = f"folder:{photos}"
    words = [run, "--data", spec, "--batch-size", "4", "--out"]
    called([commands / "tf-spot", "embed", *words, "all.parquet"], tmp_path)
    expected = by_id(tmp_path / "all.parquet")
    here = by_id(whole)
    assert (expected["id"], expected["path"]) == (here["id"], here["path"]) and len(here["id"]) == 26
    np.testing.assert_allclose(expected["embedding"], here["embedding"], rtol=1e-5, atol=1e-6)

    figures = called([commands / "python", "-c", PIPELINE.format(run=str(run), spec=spec)], tmp_path)
    assert figures.splitlines()[-1] == "{'rows': 26, 'dim': 32, 'unreadable': 1}"
    parts = sorted((tmp_path / "parts").iterdir())
    assert [part.name for part in parts] == [f"rows-{i:05}-of-{len(parts):05}.parquet" for i in range(len(parts))]
    assert by_id(*parts) == expected
    assert parquet.read_schema(parts[0]).equals(parquet.read_schema(whole))

    command = [commands / "python", "-m", "tf_spot.inference.embed_beam", *words, "one", "--split", "test"]
    called([*command, "--runner", "DirectRunner"], tmp_path)
    assert by_id(*tmp_path.glob("one-*.parquet"))["embedding"] == expected["embedding"][-5:]
    with pytest.raises(AssertionError, match="--out must be a new name"):
        called(command, tmp_path)
