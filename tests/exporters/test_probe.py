"""The linear probe of an artifact's embedding beside that of its model's."""

import numpy as np
import pytest
from PIL import Image

from tests.exporters.conftest import CONFIG, SIZE
from tf_spot.data import load
from tf_spot.evaluation import linear_probe
from tf_spot.exporters import export
from tf_spot.exporters.probe import MAX_PHOTOS, _embeddings, open_labelled
from tf_spot.visualization.pictures import to_uint8


@pytest.mark.slow
def test_the_probe_is_that_of_evaluate_on_the_embedding(spotter, photos, tmp_path, monkeypatch) -> None:
    """All the photos are taken, so that the float32 accuracy is that of evaluate on images rounded to 0 ... 255."""
    monkeypatch.setitem(MAX_PHOTOS, "train", 3000)
    manifest = export(
        spotter, tmp_path / "out", format="tflite", quantize="int8", photos=photos, config=CONFIG, probe="photos"
    )
    found = manifest["linear_probe"]
    source = load("photos", image_size=SIZE, config=CONFIG.data)
    assert (found["train_images"], found["test_images"]) == (source.count("train"), source.count("test"))
    sets = [
        [(to_uint8(images) / 127.5 - 1, labels) for images, labels in source.labelled(split, 64)]
        for split in ("train", "test")
    ]
    expected = linear_probe(spotter.backbone, *sets, ["conv5"], num_values=1)["value"]
    assert found["float32"] == pytest.approx(expected, abs=0.3)
    assert found["data"] == "photos" and found["artifact"] == pytest.approx(expected, abs=10)
    assert found["artifact"] != found["float32"] and expected > 30  # of ten classes
    assert (
        f"{found['artifact']} %, of the float32 model {found['float32']} %" in (tmp_path / "out/README.md").read_text()
    )


def test_probed_photos_are_spread_over_the_split(monkeypatch, tmp_path) -> None:
    """Six photos of three classes in order; one cannot be read."""
    for number in range(12):
        folder = tmp_path / ("train" if number < 6 else "test") / "abc"[number % 6 // 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIZE, SIZE), (20 * number, 0, 0)).save(folder / f"{number}.png")
    (tmp_path / "train" / "a" / "0.png").write_bytes(b"spoiled")
    source = open_labelled(f"folder:{tmp_path}", CONFIG)

    class Red:
        def images(self, images):
            return {"embedding": images[:, 0, 0, :1]}

    def doubled(images):
        return {"embedding": 2 * images[:, 0, 0, :1]}

    pairs, labels = _embeddings(Red(), doubled, source, "train")
    np.testing.assert_allclose(pairs[:, 0, 0, 0, 0], [20, 40, 60, 80, 100], atol=1)
    np.testing.assert_allclose(pairs[..., 1], 2 * pairs[..., 0])
    assert labels.tolist() == [0, 1, 1, 2, 2]
    monkeypatch.setitem(MAX_PHOTOS, "test", 3)
    assert _embeddings(Red(), doubled, source, "test")[1].tolist() == [0, 1, 2]
