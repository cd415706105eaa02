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
# # 6. Export, serve, and call from a client
#
# [![Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/tf_spot/blob/main/notebooks/6_export_and_serve.ipynb)
#
# The features are exported as SavedModel, TFLite and ONNX. Every artifact is reopened in its own runtime and compared
# with the Keras model.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("tf_spot") is None:  # on Colab
    wanted = "tf-spot[onnx,litert,serving] @ git+https://github.com/OWNER/tf_spot"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", wanted], check=True)

import tf_spot  # before Keras and TensorFlow, so that they start without log lines

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from tf_spot.exporters import export, verify
from tf_spot.serving import Client

tf.get_logger().setLevel("WARNING")

QUICK = bool(os.environ.get("TF_SPOT_QUICK"))  # the tests run this notebook with fewer steps
steps = (5, 5) if QUICK else (60, 20)  # fewer than the preset's
config = tf_spot.preset("tiny").override(
    [f"training.autoencoder_steps={steps[0]}", f"training.spotter_steps={steps[1]}"]
)
folder = Path(tempfile.mkdtemp())
spotter = tf_spot.train(config, "photos", folder / "run")
photos = tf_spot.load("photos", image_size=32)
pictures = next(iter(photos.images("test", 400)))[::6]  # patches of every photo
pixels = np.round((np.asarray(pictures) + 1) * 127.5).astype(np.float32)  # artifacts take RGB in [0, 255]
pictures = pixels / 127.5 - 1

# %% [markdown]
# ## Three formats

# %%
for name in ("saved_model",) if QUICK else ("saved_model", "tflite", "onnx"):
    manifest = export(spotter, folder / name, format=name, photos=np.uint8(pixels))
    print(f"{name:12} {manifest['size_bytes'] / 2**20:6.2f} MiB")
print(verify(folder / "saved_model"))

# %% [markdown]
# ## Serve
# `tf-spot serve` is a local server with TensorFlow Serving's protocol; in production TensorFlow Serving itself serves
# the same folder, and the same client calls it.

# %%
server = subprocess.Popen(
    [
        sys.executable,
        "-m",
        "tf_spot",
        "serve",
        str(folder / "saved_model" / "features"),
        "--rest-port",
        "0",
        "--grpc-port",
        "0",
    ],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
)
addresses = dict(server.stdout.readline().split() for _ in range(2))
print(addresses)

# %% [markdown]
# ## Call
# The client takes arrays or encoded photos, and handles batches, deadlines and retries.

# %%
with Client(addresses["gRPC"], model="features", protocol="grpc") as client:
    outputs = client.predict(pixels)
    print({name: array.shape for name, array in outputs.items()})
    jpegs = [tf.io.encode_jpeg(np.uint8(picture)).numpy() for picture in pixels]
    print("from JPEG files:", client.predict(jpegs)["embedding"].shape)

features = spotter.backbone(pictures)["conv5"].numpy().mean((1, 2))
print("largest difference to the Keras model:", np.abs(outputs["embedding"] - features).max())

# %% [markdown]
# A client can use the features to find similar photos; this network is hardly trained. Each row starts with the query;
# the others follow by decreasing cosine similarity.

# %%
directions = outputs["embedding"] - outputs["embedding"].mean(axis=0)
directions /= np.linalg.norm(directions, axis=1, keepdims=True)
queries = directions[:: len(directions) // 4][:4]
nearest = np.argsort(-queries @ directions.T, axis=1)[:, :6]
figure, axes = plt.subplots(4, 6, figsize=(6, 4.2), layout="constrained")
for axis, index in zip(axes.flat, nearest.flat, strict=True):
    axis.imshow(np.uint8(pixels[index]))
    axis.axis("off")
axes[0, 0].set_title("query", fontsize=9)
axes[0, 1].set_title("nearest first", fontsize=9, loc="left")
plt.show()

# %%
server.terminate()
print("stopped, exit code", server.wait())
