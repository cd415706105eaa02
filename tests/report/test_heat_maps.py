"""Heat maps of the run's own spottings."""

from types import SimpleNamespace

from PIL import Image

from tests.report.example import CONFIG, DATA, HOSTILE, rendered
from tf_spot.report.heat_maps import heat_maps
from tf_spot.runs.run import Run
from tf_spot.storage.files import write_json


def test_heat_map_stays_when_its_photo_is_gone(run) -> None:
    photo = run.path / HOSTILE
    content = photo.read_bytes()
    assert rendered(heat_maps(run)).count("<img") == 2
    photo.unlink()
    try:
        assert rendered(heat_maps(run)).count("<img") == 1
    finally:
        photo.write_bytes(content)


def test_heat_maps_are_closed(run, tmp_path, monkeypatch) -> None:
    """Pillow closes a file by itself only when its one frame is read; this one has two."""
    frames = [Image.new("L", (8, 8), level) for level in (0, 255)]
    frames[0].save(tmp_path / "overlay.png", save_all=True, append_images=frames[1:])
    entry = {"path": "gone.png", "overlay": str(tmp_path / "overlay.png"), "score": 0.1, "heat_map_mean": 0.5}
    write_json(tmp_path / "run" / "spot" / "spot.json", {"images": [entry]})
    files, real = [], Image.open

    def opening(path) -> Image.Image:
        image = real(path)
        files.append(image.fp)
        return image

    monkeypatch.setattr(Image, "open", opening)
    own = SimpleNamespace(path=tmp_path / "run", config=run.config)
    assert rendered(heat_maps(own)).count("<img") == 1
    (file,) = files
    assert file.closed


def test_caption_has_the_scores(run, tmp_path) -> None:
    """Only a head that saw repaired images alone comes with a warning about the brightness of its maps."""
    overlay = next((run.path / "heat_maps").glob("*.png"))
    entry = {"path": "x/photo.png", "overlay": str(overlay), "score": 0.126, "heat_map_mean": 0.5}
    for targets, warned in (("repaired", True), ("both", False)):
        config = CONFIG.replace(**{"game.mask_targets": targets, "game.drop_rate": 0.3})
        other = Run.create(tmp_path / targets, config, DATA)
        write_json(other.path / "spotted" / "spot.json", {"images": [entry]})
        html = rendered(heat_maps(other))
        assert "photo.png: score 0.13, mean of the heat map 0.50" in html
        assert ("30% of each repaired" in html) == warned
