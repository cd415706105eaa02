"""Run the exported backbone in PyTorch, in turns: PYTHON benchmarks/torch_inference.py REFERENCE.npz [--channels-last]

A contestant of benchmarks/inference.py. Needs only torch and NumPy. REFERENCE.npz holds the weights, photos, and the
Keras model's outputs for them: if the outputs differ, the script exits. Batch norm is folded into the convolutions, as
it is in the exported artifacts.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from take_turns import CORES, answer_with, on_two_cores

if __name__ == "__main__":  # before the libraries count the cores; others import the network from here
    on_two_cores()

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402, N812

TOLERANCE = 1e-3  # of the largest value: float32 rounding of two libraries


class Backbone(torch.nn.Module):
    """Compute conv1 ... conv5 and the embedding of images (batch, 3, size, size) in [0, 255].

    Args:
        known: arrays of REFERENCE.npz: kernel1 ... kernel5 (height, width, inputs, outputs), shift1 ... shift5
            (outputs,), groups and strides (5,), mean (3,) and response (depth radius, alpha, beta, bias) or nothing.
    """

    def __init__(self, known: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.kernels = [torch.tensor(known[f"kernel{i}"]).permute(3, 2, 0, 1).contiguous() for i in range(1, 6)]
        self.shifts = [torch.tensor(known[f"shift{i}"]) for i in range(1, 6)]
        self.groups, self.strides = known["groups"].tolist(), known["strides"].tolist()
        self.mean = torch.tensor(known["mean"])[None, :, None, None]
        self.response: list[float] = known["response"].tolist()

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        x, outputs = images - self.mean, {}
        for i in range(5):
            x = F.relu(self.convolved(x, i))
            outputs[f"conv{i + 1}"] = x
            if i < 2:
                x = self.normed(pooled(x))
        return outputs | {"embedding": x.mean((2, 3))}  # (batch, channels)

    def convolved(self, x: torch.Tensor, i: int) -> torch.Tensor:
        """Convolve with TensorFlow's SAME padding: an odd pixel is added at the end."""
        kernel, stride = self.kernels[i], self.strides[i]
        before, after = padding(x.shape[-1], kernel.shape[-1], stride)
        if before != after:
            x, before = F.pad(x, (before, after, before, after)), 0
        return F.conv2d(x, kernel, self.shifts[i], stride, before, groups=self.groups[i])

    def normed(self, x: torch.Tensor) -> torch.Tensor:
        if not self.response:
            return x
        radius, alpha, beta, bias = self.response
        window = int(2 * radius + 1)
        return F.local_response_norm(x, window, alpha * window, beta, bias)  # PyTorch divides alpha by the window


def padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's SAME padding, before and after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pooled(x: torch.Tensor) -> torch.Tensor:
    """Max-pool 3 x 3 with stride 2 and SAME padding."""
    before, after = padding(x.shape[-1], 3, 2)
    return F.max_pool2d(x, 3, 2, padding=before, ceil_mode=before != after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference")
    parser.add_argument("--channels-last", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(CORES)
    with np.load(options.reference) as archive:
        known = dict(archive)
    backbone = Backbone(known).eval()
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    backbone.kernels = [kernel.contiguous(memory_format=layout) for kernel in backbone.kernels]

    def model(images: np.ndarray) -> dict[str, Any]:
        with torch.inference_mode():
            outputs = backbone(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=layout))
            return {name: value.numpy() for name, value in outputs.items()}

    outputs = model(known["photos"].astype(np.float32))
    for name in ("conv1", "conv5"):
        wanted = known[name].transpose(0, 3, 1, 2)  # (batch, channels, h, w)
        if not np.abs(outputs[name] - wanted).max() <= TOLERANCE * np.abs(wanted).max():
            sys.exit(f"{name} differs from the Keras model's by more than {TOLERANCE:g} of its largest value")
    answer_with(model, known["photos"])


if __name__ == "__main__":
    main()
