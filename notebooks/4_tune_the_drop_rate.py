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
# # 4. Tune the drop rate with Keras Tuner
#
# [![Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/tf_spot/blob/main/notebooks/4_tune_the_drop_rate.ipynb)
#
# The drop rate sets the difficulty of the game. The objective of a search must measure the *features*: here a linear
# probe, tested on training photos that it was not fitted to. The adversarial losses are not suitable, as their scale
# depends on the rate.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("tf_spot") is None:  # on Colab
    wanted = "tf-spot[tune] @ git+https://github.com/OWNER/tf_spot"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", wanted], check=True)

import tf_spot  # before Keras and TensorFlow, so that they start without log lines

# %%
import os
import tempfile
from pathlib import Path

from IPython.display import Image

from tf_spot.experiments.tuning import format_search

QUICK = bool(os.environ.get("TF_SPOT_QUICK"))  # the tests run this notebook with fewer steps
steps = (10, 5) if QUICK else (80, 30)  # fewer than the preset's
config = tf_spot.preset("tiny").override(
    [f"training.autoencoder_steps={steps[0]}", f"training.spotter_steps={steps[1]}"]
)

# %% [markdown]
# Five rates, as in the paper's Table 1. All trials share one autoencoder; each has its own run folder. Repeating the
# call resumes an interrupted search. Pass `seeds=2` for error bars.

# %%
out = Path(tempfile.mkdtemp()) / "search"
result = tf_spot.tune(config, "photos", out, trials=2 if QUICK else 5, num_values=256)
print(format_search(result))

# %%
Image(out / "tune.png")

# %% [markdown]
# Differences within two standard errors of the probe are not significant: read the errors before the ranking. Trials of
# 30 steps, as here, show how a search is read, not which rate is best. The accuracies are
# higher than those of the README: patches of the training region overlap, and those of the test region lie apart.

# %%
best = result["trials"][0]
print("best drop rate:", best["values"]["game.drop_rate"], "; standard error of its probe:", best["runs"][0]["stderr"])
recipe = tf_spot.Config.load(out / "config.json")  # ready for tf_spot.train(recipe, ...)
