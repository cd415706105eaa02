"""Register a class with Keras under this package's name, so that saved models find it again."""

from __future__ import annotations

import keras

register = keras.saving.register_keras_serializable("tf_spot")
