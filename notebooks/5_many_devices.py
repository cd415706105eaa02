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
# # 5. Many devices
#
# [![Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/tf_spot/blob/main/notebooks/5_many_devices.ipynb)
#
# `tf.distribute` as in any Keras program: create models and optimizers inside `strategy.scope()`, call `fit`. Without
# GPUs this notebook splits the CPU into two logical devices, which shows that the training is the same on any
# number of them, up to rounding.

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

from tf_spot.distributed.strategies import make_strategy

tf.get_logger().setLevel("WARNING")

QUICK = bool(os.environ.get("TF_SPOT_QUICK"))  # the tests run this notebook with fewer steps
if not tf.config.list_physical_devices("GPU"):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
photos = tf_spot.load("photos", image_size=32)
steps = 3 if QUICK else 10


# %%
def adam():
    # With a small epsilon Adam moves a weight by a full learning rate even where its gradient is rounding noise.
    return keras.optimizers.Adam(1e-3, beta_1=0.5, epsilon=1e-2)


def train(strategy):
    """Train both stages for a few steps; return the weights of both and the running loss of the discriminator."""
    losses = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda _, logs: losses.append(logs["discriminator_loss"])
    )
    keras.utils.set_random_seed(0)
    with strategy.scope():
        autoencoder = tf_spot.Autoencoder(image_size=32, width=0.125, levels=2)
        autoencoder.compile(adam())
    autoencoder.fit(photos.unlabelled(batch_size=16), steps_per_epoch=steps, shuffle=False, verbose=0)
    with strategy.scope():
        discriminator = tf_spot.Discriminator(
            image_size=32, width=0.125, stem_kernel=5, stem_stride=1, trunk_norm="batch", fc_units=32
        )
        spotter = tf_spot.ArtifactSpotter(autoencoder, discriminator)
        spotter.compile(adam(), adam())
    spotter.fit(photos.unlabelled(batch_size=16), steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[record])
    return (autoencoder.get_weights(), spotter.discriminator.get_weights()), losses


# %% [markdown]
# `batch_size` is the global one. Masks, dropout, augmentation and history buffer depend on the seed, the step and the
# index of an image in the global batch, not on the device; batch norm and losses are computed over all replicas.

# %%
strategies = {"one device": make_strategy("none"), "all devices": make_strategy("mirrored")}
print({name: strategy.num_replicas_in_sync for name, strategy in strategies.items()})
(one, loss_of_one), (two, loss_of_two) = (train(strategy) for strategy in strategies.values())
for stage, first, second in zip(("autoencoder", "discriminator"), one, two, strict=True):
    # Of kernels: the moving statistics of batch norm are large numbers.
    apart = [np.abs(a - b) for a, b in zip(first, second, strict=True) if a.ndim > 1]
    worst = max(float(array.max()) for array in apart)
    print(f"{stage}: largest difference of a kernel after {steps} steps: {worst:.1e}")
for step in (1, steps):
    print(f"mean loss of the discriminator, {step} steps: {loss_of_one[step - 1]:.5f} and {loss_of_two[step - 1]:.5f}")

# %%
count = range(1, steps + 1)
plt.figure(figsize=(6, 3))
plt.plot(count, loss_of_one, linewidth=6, alpha=0.4, label="one device")
plt.plot(count, loss_of_two, "o-", color="black", markersize=4, linewidth=1, label="all devices")
plt.gca().set(xlabel="steps", ylabel="discriminator loss, mean so far", title="The same training on more devices")
plt.gca().xaxis.get_major_locator().set_params(integer=True)
plt.legend()
plt.show()

# %% [markdown]
# The difference begins as float32 rounding, as sums are made in another order. Where a unit is close to zero, rounding
# decides whether it is active, and two networks that answer each other amplify that from step to step: the same
# training, not the same bits. `tf-spot train --strategy mirrored` does the same on the command line, `--strategy
# multiworker` over several machines; see docs/scaling.md and docs/workers.md.
