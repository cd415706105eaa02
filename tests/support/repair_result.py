"""A result of the task `repair`, as its tables read it."""

from __future__ import annotations

from typing import Any

REPAIR: dict[str, Any] = {
    "task": "repair", "method": "spot", "data": "mine", "value": 0.786, "test_images": 2_560, "rivals": {},
    "critic": {"steps": 600, "train_images": 1_792, "test_images": 768}, "patch_noise": 0.0041,
    "autoencoder": {"psnr": 23.41, "laplacian_share": 0.312},
    "kinds": {
        "unrepaired": {"critic_auc": 0.973, "critic_stderr": 0.0044, "patch_distance": 0.066, "brightness_shift": -3.0,
                       "psnr": 18.0},
        "repaired": {"critic_auc": 0.7861, "critic_stderr": 0.0116, "patch_distance": 0.0401, "brightness_shift": 7.5,
                     "psnr": 16.0},
    },
}  # fmt: skip
