"""A run as the tests of its page need it: its recipe, a result, names that would break a page."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from tf_spot.config import preset
from tf_spot.report.held_out_photos import Photos
from tf_spot.report.html import Block, render

CONFIG = preset("tiny").replace(
    **{
        "data.image_size": 16,
        "data.held_out_share": 0.5,
        "network.width": 0.125,
        "network.fc_units": 8,
        "training.batch_size": 4,
    }
)
DATA = {"spec": "folder:x", "name": "<i>set</i>", "fingerprint": "0", "counts": {"train": 3}}
HOSTILE = "<img src=x onerror=alert(1)>&\"'.png"
PICTURES = np.zeros((20, 8, 8, 3), np.uint8)


def result(value: float, **more: object) -> dict:
    """A result file of two layers beside two controls."""
    control = {"method": "x", "value": 0.0, "by_layer": {"conv1": 1.0, "conv2": 2.0}}
    encoding = {"method": "encoding", "value": 33.34, "by_layer": {"encoding": 33.34}}
    return {
        "method": "spot", "task": "linear", "data": "set", "metric": "accuracy", "unit": "percent", "stderr": 0.5,
        "value": value, "best_layer": "conv2", "by_layer": {"conv1": 12.34, "conv2": value}, "train_images": 1234,
        "test_images": 99, "mask_auc": 0.8768,
        "rivals": {"random": control | {"method": "random"}, "encoding": encoding},
    } | more  # fmt: skip


def photos(labels: np.ndarray | None, vectors: np.ndarray | None = None) -> Photos:
    """20 black photos."""
    vectors = np.eye(20, dtype=np.float32) if vectors is None else vectors
    return Photos(PICTURES, labels, [], {"learned": vectors}, "some photos")


def rendered(blocks: Iterable[Block]) -> str:
    """The HTML of a section."""
    return "\n".join(render(block.template, data=block.data) for block in blocks)


def rows(html: str) -> list[list[str]]:
    """The cells of all tables."""
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", html)]
