"""One row of a comparison: what it writes."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.support.comparison_recipe import CONFIG
from tf_spot.data import Source, open_source
from tf_spot.experiments.budget import Budget
from tf_spot.experiments.comparison_row import train_row
from tf_spot.experiments.learning_curve import read_curve
from tf_spot.experiments.plain_fit import new_backbone
from tf_spot.runs.run import Run


@pytest.mark.parametrize("method", ["random", "kmeans"])
def test_a_row_without_training_saves_what_transfers(source: Source, tmp_path: Path, method: str) -> None:
    folder = tmp_path / "row"
    trained = train_row(method, CONFIG, source, folder, Budget(images=8))
    assert trained.images_seen == (0 if method == "random" else source.count("unlabelled"))
    assert [point["images_seen"] for point in read_curve(folder)] == [trained.images_seen]
    saved = keras.saving.load_model(folder / "backbone.keras", compile=False)
    kernel = saved.first_conv.kernel.numpy()
    np.testing.assert_array_equal(kernel, trained.extract.first_conv.kernel.numpy())
    assert np.array_equal(kernel, new_backbone(CONFIG).first_conv.kernel.numpy()) == (method == "random")


def test_a_run_folder_records_the_photos(source: Source, tmp_path: Path) -> None:
    record = source.record()
    assert record["counts"] == {"train": 54, "test": 6} and record["fingerprint"] == source.fingerprint
    assert Run.create(tmp_path, CONFIG, record).data == record


def test_rows_share_a_source_of_their_own_data_settings_only(source: Source) -> None:
    assert open_source(source, CONFIG.replace(**{"training.seed": 5, "network.width": 0.25})) is source
    for changes in ({"data.image_size": 32}, {"data.flip": False}):
        with pytest.raises(ValueError, match="opened with the data settings of the configuration"):
            open_source(source, CONFIG.replace(**changes))
