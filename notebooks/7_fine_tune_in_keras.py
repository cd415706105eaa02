# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 7. Fine-tune in Keras
#
# [![Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/tf_spot/blob/main/notebooks/7_fine_tune_in_keras.ipynb)
#
# A trained backbone as a plain Keras model: with a head of your own, frozen or trained further, saved and loaded. The
# labels say which photo a patch was cut from.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("tf_spot") is None:  # on Colab
    wanted = "tf-spot @ git+https://github.com/OWNER/tf_spot"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", wanted], check=True)

import tf_spot  # before Keras and TensorFlow, so that they start without log lines

# %%
import os
import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

QUICK = bool(os.environ.get("TF_SPOT_QUICK"))  # the tests run this notebook with fewer steps
steps = (5, 5) if QUICK else (100, 100)  # fewer than the preset's
config = tf_spot.preset("tiny").override(
    [f"training.autoencoder_steps={steps[0]}", f"training.spotter_steps={steps[1]}"]
)
folder = Path(tempfile.mkdtemp())
spotter = tf_spot.train(config, "photos", folder / "run")


# %% [markdown]
# Photos as Keras has them: whole numbers from 0 to 255, and labels.


# %%
def read(split, every=1):
    """Patches are sorted by photo: every so many of them are of all photos."""
    images, labels = zip(*tf_spot.load("photos", image_size=32).labelled(split, 64), strict=True)
    return np.uint8(np.round((np.concatenate(images) + 1) * 127.5))[::every], np.concatenate(labels)[::every]


train_photos, train_labels = read("train", every=10 if QUICK else 2)
test_photos, test_labels = read("test")
classes = int(max(train_labels.max(), test_labels.max())) + 1
print(train_photos.shape, train_photos.dtype, classes, "classes")

# %% [markdown]
# ## The features as a model
# The source is a run folder, a `.keras` file, a pretrained name or, as here, the model itself. Only the layers up to
# conv4 are in the new model.

# %%
features = tf_spot.feature_extractor(spotter, layer="conv4", pooling="avg")
print(features.input_shape, "to", features.output_shape)
features.summary()


# %% [markdown]
# ## Frozen, fine-tuned, and from random weights
# The same head, photos and number of epochs. The control has the same layers at random weights. A pretraining as short
# as this one may well not lead.


# %%
def classifier(extractor):
    normalised = keras.layers.BatchNormalization()
    model = keras.Sequential([extractor, normalised, keras.layers.Dense(classes, activation="softmax")])
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


untrained = tf_spot.Discriminator(
    image_size=32, width=0.25, stem_kernel=5, stem_stride=1, trunk_norm="batch", fc_units=128
)
models = {
    "frozen": classifier(features),
    "fine-tuned": classifier(tf_spot.feature_extractor(spotter, layer="conv4", trainable=True)),
    "trained from random weights": classifier(tf_spot.feature_extractor(untrained, layer="conv4", trainable=True)),
}
curves = {}
for name, model in models.items():
    validation = (test_photos, test_labels)
    history = model.fit(
        train_photos, train_labels, validation_data=validation, epochs=2 if QUICK else 8, batch_size=64, verbose=0
    )
    curves[name] = history.history["val_accuracy"]
    print(f"{name:28} {100 * curves[name][-1]:.1f} %")

# %%
figure, axes = plt.subplots(figsize=(6, 3.2))
for name, curve in curves.items():
    axes.plot(range(1, len(curve) + 1), np.multiply(curve, 100), marker="o", label=name)
axes.set_xlabel("epoch")
axes.set_ylabel("test accuracy in percent")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Saved, and loaded in another process
# That process needs `import tf_spot` and nothing else of this notebook.

# %%
models["fine-tuned"].save(folder / "model.keras")
np.save(folder / "photos.npy", test_photos[:8])
code = f"""
import tf_spot
import keras, numpy
model = keras.saving.load_model("{folder}/model.keras")
print(model.predict(numpy.load("{folder}/photos.npy"), verbose=0).argmax(1))
"""
print("there:", subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
print("here: ", models["fine-tuned"].predict(test_photos[:8], verbose=0).argmax(1))
