"""What every test shares: TensorFlow with two logical CPU devices, and the same seed at the start of each test.

Tests run on the CPU, on a machine with a GPU too, so that their numbers are the same everywhere. Those marked `gpu` are
about a GPU: `make test-gpu` runs them, and them alone, on one.
"""

import os
from collections.abc import Iterator

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if not os.environ.get("TF_SPOT_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # also for the processes that tests start

import keras
import pytest
import tensorflow as tf

# Devices are fixed once TensorFlow has run anything, so this stands before every test. Two are enough for a strategy.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if tf.config.list_physical_devices("GPU"):
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="about a GPU: make test-gpu, where there is one"))


@pytest.fixture(autouse=True, scope="session")
def indices_of_tars(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes into the home of the one who runs it."""
    kept = tmp_path_factory.mktemp("tar-index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tf_spot.data.kept_index.folder", lambda: kept)
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    """No test depends on the tests before it through a global random state."""
    keras.utils.set_random_seed(0)
