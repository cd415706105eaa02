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
# # 3. The learned features: probe, nearest neighbours, heat map
#
# [![Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/tf_spot/blob/main/notebooks/3_what_was_learned.ipynb)
#
# `tf_spot.train` runs both stages and writes a run folder. Three evaluations follow: how well do the features predict
# labels that were not used in training? Which photos do they place close together? Where does an image look repaired?

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

import matplotlib.pyplot as plt
import numpy as np

from tf_spot.inference.heat_map import overlay, spot

QUICK = bool(os.environ.get("TF_SPOT_QUICK"))  # the tests run this notebook with fewer steps
steps = (20, 20) if QUICK else (300, 400)  # fewer than the preset's
config = tf_spot.preset("tiny").override(
    [f"training.autoencoder_steps={steps[0]}", f"training.spotter_steps={steps[1]}"]
)
run = Path(tempfile.mkdtemp()) / "run"
spotter = tf_spot.train(config, "photos", run)

# %% [markdown]
# ## A linear probe on every layer
# The features are frozen; a linear classifier predicts which photo a patch is from. The control is the same network
# before training. Differences within two standard errors (the bars are one) are no lead.

# %%
photos = tf_spot.load("photos", image_size=32)
untrained = tf_spot.Discriminator(
    image_size=32, width=0.25, stem_kernel=5, stem_stride=1, trunk_norm="batch", fc_units=128
).backbone
train, test = photos.labelled("train", 64), photos.labelled("test", 64)
values = 256 if QUICK else 1024
results = {
    name: tf_spot.linear_probe(backbone, train, test, num_values=values)
    for name, backbone in (("learned", spotter.backbone), ("untrained", untrained))
}

figure, axes = plt.subplots(figsize=(6, 3.2))
for name, result in results.items():
    axes.errorbar(
        *zip(*result["by_layer"].items(), strict=True), yerr=result["stderr"], marker="o", capsize=3, label=name
    )
axes.set_ylabel("linear probe, accuracy in percent")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Nearest neighbours
# Cosine similarity of conv5, averaged over the map and centred over all photos.

# %%
pictures = np.concatenate([batch for batch in photos.images("test", 64)])
features = np.concatenate(
    [spotter.backbone(batch)["conv5"].numpy().mean((1, 2)) for batch in photos.images("test", 64)]
)
features -= features.mean(0)
features /= np.linalg.norm(features, axis=1, keepdims=True)
queries = np.linspace(0, len(pictures) - 1, 5).astype(int)
space = {"wspace": 0.04, "hspace": 0.04, "width_ratios": [1.15] + [1] * 6}
figure, axes = plt.subplots(len(queries), 7, figsize=(8, 5.7), gridspec_kw=space)
for row, query in zip(axes, queries, strict=True):
    for axis, index in zip(row, np.argsort(-features @ features[query])[:7], strict=True):
        axis.imshow((pictures[index] + 1) / 2)
        axis.axis("off")
    row[0].set_anchor("W")  # sets the query apart from its neighbours
axes[0, 0].set_title("query", fontsize=10)
axes[0, 1].set_title("nearest first", fontsize=10, loc="left")
plt.show()

# %% [markdown]
# ## The mask head
# The left half of this image is autoencoded only, the right half is damaged and repaired. Of a network that is trained
# for longer the heat map is brighter on the right; after so few steps it is mostly noise.

# %%
photo = pictures[queries[1]][None]
corrupted = spotter.corrupt(photo, step=3)
half = np.array(corrupted.repaired[0])
half[:, : half.shape[1] // 2] = corrupted.decoded[0][:, : half.shape[1] // 2]
image = np.uint8(np.clip((half + 1) * 127.5, 0, 255))
spotted = spot(spotter, image)
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2))
axes[0].imshow(image)
axes[0].set_title("left: autoencoded, right: repaired", fontsize=10)
axes[1].imshow(spotted.heat_map, cmap="inferno")
axes[1].set_title(f"heat map, score {spotted.score:.2f}", fontsize=10)
axes[2].imshow(overlay(image, spotted.heat_map))
axes[2].set_title("overlay", fontsize=10)
for axis in axes:
    axis.axis("off")
plt.show()
