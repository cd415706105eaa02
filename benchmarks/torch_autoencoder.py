"""Train the autoencoder in PyTorch, in turns: PYTHON benchmarks/torch_autoencoder.py [--channels-last] [--bf16]

The counterpart of `benchmarks/training_step.py --stage autoencoder`: the same layers, loss and optimizer, on a constant
random batch. Needs only torch and NumPy.
"""

from __future__ import annotations

import argparse

import torch
from take_turns import answer
from torch import nn

CHANNELS = (32, 64, 128, 256, 512)


def block(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    norm = nn.BatchNorm2d(outputs, momentum=0.025, eps=1e-3)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=1 if kernel == 3 else 0, bias=False)
    return [conv, norm, nn.LeakyReLU(0.2, inplace=True)]


def autoencoder() -> nn.Sequential:
    """Return the autoencoder of preset `stl10`, images (batch, 3, height, width) in [-1, 1] to images alike."""
    layers = block(3, CHANNELS[0], 3)
    for inputs, outputs in zip(CHANNELS, CHANNELS[1:], strict=False):
        layers += block(inputs, outputs, 2, 2)
    wide = CHANNELS[::-1]
    for inputs, outputs in zip(wide, wide[1:], strict=False):
        layers += [nn.Upsample(scale_factor=2, mode="bilinear"), *block(inputs, outputs, 3)]
    return nn.Sequential(*layers, nn.Conv2d(CHANNELS[0], 3, 3, padding=1), nn.Tanh())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    model = autoencoder().to(memory_format=layout)
    adam = torch.optim.Adam(model.parameters(), 3e-4, (0.5, 0.999), eps=1e-5, weight_decay=5e-5, foreach=True)
    images = (torch.rand(options.batch, 3, options.size, options.size) * 2 - 1).to(memory_format=layout)

    def step() -> None:
        adam.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16):
            decoded = model(images)
        (30 * torch.nn.functional.mse_loss(decoded.float(), images)).backward()
        adam.step()

    answer(lambda batch: step, torch=torch.__version__)


if __name__ == "__main__":
    main()
