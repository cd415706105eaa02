"""Neighbours: whose they are, under which features, and that a query is not its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tf_spot.cli import main
from tf_spot.errors import UserError
from tf_spot.inference.neighbours import neighbours


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Four photos of each colour, with a little noise, and one that cannot be read."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photos")
    for name, colour in (("red", (240, 20, 20)), ("green", (20, 240, 20)), ("blue", (20, 20, 240))):
        for i in range(4):
            noisy = np.array(colour) + random.integers(-15, 16, (24, 24, 3))
            Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{name}-{i}.png")
    (folder / "green-9.png").write_text("no picture")
    return folder


def test_neighbours_are_of_the_querys_kind_and_not_the_query(run, photos, tmp_path):
    queries = [photos / "red-1.png", photos / "blue-0.png"]
    found = neighbours(run, f"folder:{photos}", queries, tmp_path, count=3, seed=5)
    assert json.loads((tmp_path / "neighbours.json").read_text()) == found
    for entry, query in zip(found["queries"], queries, strict=True):
        assert entry["query"] == str(query)
        others = {path.name for path in photos.glob(f"{query.name[:3]}*")} - {query.name}
        for name in ("learned", "random", "pixels"):
            assert {hit["path"] for hit in entry[name]} == others
            similarities = [hit["similarity"] for hit in entry[name]]
            assert similarities == sorted(similarities, reverse=True) and 0.5 < similarities[-1] <= 1
    assert found["queries"][0]["learned"] != found["queries"][0]["random"]
    with Image.open(tmp_path / "neighbours.png") as picture:
        assert picture.size == (130 + 4 * 66, 6 * 66)  # labels, the query and three neighbours; three rows a query
        pixels = np.asarray(picture)
    for row in range(6):
        for column in range(4):
            tile = pixels[66 * row + 5 : 66 * row + 60, 130 + 66 * column + 5 : 130 + 66 * column + 60]
            assert tile.mean((0, 1)).argmax() == (0 if row < 3 else 2)


def test_pixel_similarity_is_the_cosine_of_the_shrunk_photos(run, tmp_path):
    """In [-1, 1]: grey 255 and 204 are 1 and 0.6 in every value, of the same direction; half white, half black is 0."""
    photos = tmp_path / "photos"
    photos.mkdir()
    half = np.full((16, 16), 255, np.uint8)
    half[:8] = 0
    for name, levels in (("grey", np.full((16, 16), 204, np.uint8)), ("half", half)):
        Image.fromarray(levels).save(photos / f"{name}.png")
    Image.new("L", (16, 16), 255).save(tmp_path / "white.png")
    found = neighbours(run, f"folder:{photos}", [tmp_path / "white.png"], tmp_path / "out", count=2)
    hits = {hit["path"]: hit["similarity"] for hit in found["queries"][0]["pixels"]}
    assert hits == pytest.approx({"grey.png": 1.0, "half.png": 0.0}, abs=1e-5)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"count": 0}, "--count must be 1 or more"),
        ({"count": 13}, "--count must be at most"),
        ({"layer": "conv9"}, "--layer must be one of"),
        ({"queries": ["green-9.png"]}, "green-9.png, which cannot be read"),
    ],
)
def test_mistakes_are_told(run, photos, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(photos)
    with pytest.raises(UserError, match=says):
        neighbours(run, **{"spec": f"folder:{photos}", "queries": ["red-0.png"], "out": tmp_path / "out"} | words)


def test_the_verb(run, photos, tmp_path, capsys):
    words = ["--data", f"folder:{photos}", "--query", str(photos / "green-2.png"), "--out", str(tmp_path / "out")]
    assert main(["neighbours", str(run), *words, "--count", "2", "--layer", "conv2", "--seed", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["layer"] == "conv2" and len(found["queries"][0]["random"]) == 2
    assert (tmp_path / "out" / "neighbours.png").is_file()


def test_a_pretrained_name_is_searched_by(photos, tmp_path):
    found = neighbours("imagenette96-small", f"folder:{photos}", [photos / "red-1.png"], tmp_path, count=3)
    assert {hit["path"] for hit in found["queries"][0]["learned"]} == {f"red-{i}.png" for i in (0, 2, 3)}
