"""Run the backbone in PyTorch, in turns: PYTHON benchmarks/torch_backbone.py [--channels-last] [--bf16]

The counterpart of `benchmarks/training_step.py --stage backbone`: the same layers with random weights, on a constant
random batch. Needs only torch and NumPy.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from take_turns import answer
from torch_inference import Backbone

CHANNELS = (3, 96, 256, 384, 384, 256)
KERNELS = (11, 5, 3, 3, 3)
GROUPS = (1, 2, 1, 2, 2)
STRIDES = (4, 1, 1, 1, 1)
RESPONSE = (2, 2e-5, 0.75, 1.0)  # depth radius, alpha, beta, bias


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    backbone = Backbone(random_weights()).eval()
    precision = torch.bfloat16 if options.bf16 else torch.float32
    backbone.kernels = [kernel.to(precision, memory_format=layout) for kernel in backbone.kernels]
    backbone.shifts = [shift.to(precision) for shift in backbone.shifts]
    images = (torch.rand(options.batch, 3, options.size, options.size) * 255).to(memory_format=layout)

    def step() -> None:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16):
            float(sum(maps.float().sum() for maps in backbone(images).values()))

    answer(lambda batch: step, torch=torch.__version__)


def random_weights() -> dict[str, np.ndarray]:
    """Return the arrays that `Backbone` takes, with random kernels."""
    known = {"groups": np.array(GROUPS), "strides": np.array(STRIDES), "response": np.array(RESPONSE)}
    known["mean"] = np.full(3, 110, np.float32)
    generator = np.random.default_rng(0)
    layers = zip(CHANNELS, CHANNELS[1:], KERNELS, GROUPS, strict=False)
    for number, (inputs, outputs, size, groups) in enumerate(layers, start=1):
        kernel = generator.normal(size=(size, size, inputs // groups, outputs)) / (size * (inputs // groups) ** 0.5)
        known[f"kernel{number}"] = kernel.astype(np.float32)
        known[f"shift{number}"] = np.zeros(outputs, np.float32)
    return known


if __name__ == "__main__":
    main()
