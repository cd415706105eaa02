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
# # 2. Train with `model.fit()` on your own folder
#
# [![Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/tf_spot/blob/main/notebooks/2_train_on_your_photos.ipynb)
#
# A folder of photos, two Keras models, two calls of `fit`. No labels.

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
from PIL import Image
from skimage import data

QUICK = bool(os.environ.get("TF_SPOT_QUICK"))  # the tests run this notebook with fewer steps

# %% [markdown]
# **Set the path of your photos here.** Without one the notebook creates a small folder of bundled photos.

# %%
FOLDER = None  # "/home/me/Pictures"

if FOLDER is None:
    FOLDER = Path(tempfile.mkdtemp())
    for name in ("astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry", "hubble_deep_field"):
        picture = Image.fromarray(getattr(data, name)()[..., :3])
        for window in range(8):  # eight overlapping crops of each
            left = window * (picture.width - picture.width // 2) // 7
            crop = picture.crop((left, 0, left + picture.width // 2, picture.height))
            crop.resize((160, 160)).save(FOLDER / f"{name}-{window}.jpg")
print(len(list(Path(FOLDER).rglob("*.*"))), "files")

# %%
photos = tf_spot.load(f"folder:{FOLDER}", image_size=32)
images = photos.unlabelled(batch_size=32)
keras.utils.set_random_seed(0)
print(photos.count("unlabelled"), "photos to train on, some are held out;", len(photos.bad_files), "could not be read")

# %% [markdown]
# ## Stage 1: an autoencoder
# Callbacks are those of Keras.

# %%
steps = 5 if QUICK else 75
autoencoder = tf_spot.Autoencoder(image_size=32, width=0.25, levels=2)
autoencoder.compile(keras.optimizers.Adam(1e-2, beta_1=0.5))
stop = keras.callbacks.TerminateOnNaN()
epochs = 2 if QUICK else 4
first = autoencoder.fit(images, epochs=epochs, steps_per_epoch=steps, shuffle=False, verbose=2, callbacks=[stop])

# %% [markdown]
# ## Stage 2: the game
# Each training step updates the discriminator on decoded and repaired images, then the repair network through the
# updated discriminator.

# %%
discriminator = tf_spot.Discriminator(
    image_size=32, width=0.25, stem_kernel=5, stem_stride=1, trunk_norm="batch", fc_units=128
)
spotter = tf_spot.ArtifactSpotter(autoencoder, discriminator, drop_rate=0.5, mask_weight=1.0, zero_residual=True)
spotter.compile(keras.optimizers.Adam(1e-3, beta_1=0.5), keras.optimizers.Adam(1e-3, beta_1=0.5))
second = spotter.fit(images, epochs=2 if QUICK else 4, steps_per_epoch=steps, shuffle=False, verbose=2)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
error = first.history["reconstruction_loss"]
left.plot(range(1, len(error) + 1), error, marker="o")
left.set(title="stage 1", xlabel="epoch", ylabel="reconstruction loss")
for name in ("decoded_accuracy", "repaired_accuracy"):
    accuracy = second.history[name]
    right.plot(range(1, len(accuracy) + 1), accuracy, marker="o", label=name.replace("_", " "))
right.set(title="stage 2: the discriminator", xlabel="epoch", ylim=(0, 1.05))
right.legend()
for axes in (left, right):
    axes.xaxis.get_major_locator().set_params(integer=True)
plt.show()

# %% [markdown]
# The outputs for your photos. The discriminator's task is to distinguish the second row from the fourth.

# %%
pictures = next(iter(images))[:8]
corrupted = spotter.corrupt(pictures, step=0)
rows = {
    "photo": pictures,
    "autoencoded": corrupted.decoded,
    "damaged": autoencoder.decoder(corrupted.damaged),
    "repaired": corrupted.repaired,
}
figure, axes = plt.subplots(4, 8, figsize=(9, 5), layout="constrained")
for row, (name, shown) in zip(axes, rows.items(), strict=True):
    for axis, picture in zip(row, np.asarray(shown), strict=True):
        axis.imshow((picture + 1) / 2)
        axis.axis("off")
    row[0].set_title(name, loc="left")
plt.show()

# %% [markdown]
# ## Save and load
# One file holds everything: networks, both optimizers, the history buffer of past corrupted images.

# %%
path = Path(tempfile.mkdtemp()) / "spotter.keras"
spotter.save(path)
again = keras.saving.load_model(path)
features = again.backbone(pictures)
print({name: tuple(maps.shape) for name, maps in features.items()})

# %% [markdown]
# The same on the command line is `tf-spot train --data folder:... --out RUN`, with checkpoints, pictures, health
# metrics and resuming after a kill.
