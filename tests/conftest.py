"""What every test shares: TensorFlow with two logical CPU devices, and the same seed at the start of each test."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import pytest
import tensorflow as tf

# Devices are fixed once TensorFlow has run anything, so this stands before every test. Two are enough for a strategy.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """No test depends on the tests before it through a global random state."""
    keras.utils.set_random_seed(0)
