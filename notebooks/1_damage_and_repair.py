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
# # 1. Damage and repair
#
# [![Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/tf_spot/blob/main/notebooks/1_damage_and_repair.ipynb)
#
# The method in three steps: an autoencoder copies photos; some cells of its encoding are dropped; a repair network
# hides the damage. A network that still detects it must model what photos look like.
#
# The photos ship with scikit-learn and scikit-image; nothing is downloaded. A few minutes on two CPU cores.

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

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from tf_spot.models.damage import Damage

QUICK = bool(os.environ.get("TF_SPOT_QUICK"))  # the tests run this notebook with fewer steps
photos = tf_spot.load("photos", image_size=32)
images = photos.unlabelled(batch_size=32)
keras.utils.set_random_seed(0)


def show(rows, columns=6):
    """Show images in [-1, 1] or maps in [0, 1], one row per name: {name: (columns, height, width, 3 or 1)}."""
    size, space = (columns, 1.2 * len(rows)), {"wspace": 0.04, "hspace": 0.3}
    _, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False, gridspec_kw=space)
    for row, (name, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(row, np.asarray(pictures), strict=False):
            axis.imshow(picture.squeeze() if picture.shape[-1] == 1 else (picture + 1) / 2, cmap="gray", vmin=0, vmax=1)
            axis.axis("off")
        row[0].set_title(name, loc="left", fontsize=10)
    plt.show()


# %% [markdown]
# ## An autoencoder
# It is a Keras model: `compile`, `fit`. Its 2×2 kernels keep the cells of the encoding almost independent, so that
# damage to a cell stays local.

# %%
autoencoder = tf_spot.Autoencoder(image_size=32, width=0.25, levels=2)
autoencoder.compile(keras.optimizers.Adam(2e-2, beta_1=0.5))
autoencoder.fit(images, epochs=1 if QUICK else 4, steps_per_epoch=10 if QUICK else 100, shuffle=False, verbose=2)

test_photos = np.concatenate(list(photos.images("test", 64)))
parts = np.array_split(test_photos, 6)  # from different photos, and from each the patch that varies most
test_photos = np.stack([part[part.std(axis=(1, 2, 3)).argmax()] for part in parts])
show({"photo": test_photos, "autoencoded": autoencoder(test_photos)})

# %% [markdown]
# ## Damage
# `Damage` drops random cells, all channels of a cell together. `fill` selects what replaces them: the average of their
# neighbourhood (the authors' code), the average of the whole map, zeros, or noise.

# %%
encoding = autoencoder.encoder(test_photos)
print("encoding:", encoding.shape)
rows = {"autoencoded": autoencoder.decoder(encoding)}
for fill in ("avg3", "global", "zero", "noise"):
    damaged, keep_mask = Damage(0.5, fill, seed=0)(encoding, step=0)
    rows[f"half the cells dropped, filled with {fill}"] = autoencoder.decoder(damaged)
rows["kept cells"] = keep_mask
show(rows)

# %% [markdown]
# The higher the drop rate, the less of the photo remains.

# %%
rates = (0.1, 0.3, 0.5, 0.7, 0.9)
show({f"drop rate {rate}": autoencoder.decoder(Damage(rate, seed=0)(encoding, step=0)[0]) for rate in rates})

# %% [markdown]
# ## Repair
# The repair network is interleaved with the decoder's layers and changes dropped cells only. It is trained to fool a
# discriminator, which is trained to detect the repair.

# %%
discriminator = tf_spot.Discriminator(
    image_size=32, width=0.25, stem_kernel=5, stem_stride=1, trunk_norm="batch", fc_units=128
)
# A repair that begins with the damage as it is decoded learns faster than one from a random residual.
spotter = tf_spot.ArtifactSpotter(autoencoder, discriminator, drop_rate=0.5, mask_weight=1.0, zero_residual=True)
spotter.compile(keras.optimizers.Adam(1e-3, beta_1=0.5), keras.optimizers.Adam(1e-3, beta_1=0.5))
history = spotter.fit(images, epochs=1 if QUICK else 2, steps_per_epoch=5 if QUICK else 60, shuffle=False, verbose=2)

# %%
corrupted = spotter.corrupt(test_photos, step=0)
predicted = tf.sigmoid(spotter.discriminator(corrupted.repaired)["mask_logits"])
show(
    {
        "autoencoded: the class “real”": corrupted.decoded,
        "damaged": autoencoder.decoder(corrupted.damaged),
        "repaired: the class “corrupt”": corrupted.repaired,
        "kept cells": corrupted.keep_mask,
        "kept cells, predicted by the discriminator": predicted,
    }
)

# %% [markdown]
# So short a game is only its beginning: the repair is close to the damage that it began with, and the discriminator
# finds the dropped cells only here and there. Both improve together; `tf-spot demo` trains many times as long. What
# matters in the end are the features that the discriminator's convolutions have learned: notebook 3.
