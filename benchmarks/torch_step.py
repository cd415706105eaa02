"""Steps of PyTorch, in turns: PYTHON benchmarks/torch_step.py --batch 256 --size 96

The counterpart of `benchmarks/step_variants.py`: both stages and the backbone, on a GPU if there is one. Each line on
stdin names a `stage`, a `precision` (float32, which is TF32 on a GPU, or bfloat16), and whether the layout is
`channels_last` and the step `compiled`. Needs only torch and NumPy.

The adversarial step is that of preset `stl10`: the discriminator is updated first, on decoded and repaired images, half
of these from a history buffer; then the repair network, through the discriminator as just updated, whose statistics
stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from take_turns import answer_each
from torch import nn
from torch_autoencoder import CHANNELS, autoencoder
from torch_backbone import random_weights
from torch_inference import Backbone

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
STEPS = 5 if DEVICE == "cuda" else 1  # between two looks at the clock
COMPILER = "inductor" if DEVICE == "cuda" else "aot_eager"  # on a CPU only to see that the step can be compiled
WIDE = CHANNELS[::-1]
SLOTS, STORED_EVERY = 10, 20  # of the history buffer


class Norm(nn.BatchNorm2d):
    """Batch norm in training, whose moving statistics can be left alone."""

    def forward(self, x: torch.Tensor, update: bool = True) -> torch.Tensor:
        moving = (self.running_mean, self.running_var) if update else (None, None)
        flat = x if x.dim() == 4 else x[:, :, None, None]
        return F.batch_norm(flat, *moving, self.weight, self.bias, True, self.momentum, self.eps).reshape(x.shape)


class Repair(nn.Module):
    """One block: the residual of [x, mask], in dropped cells only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(channels + 1, channels, 3, padding=1, bias=False), Norm(channels, 1e-3, 0.025)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = F.leaky_relu(self.norm(self.first(torch.cat([x, mask.to(x.dtype)], 1))), 0.2)
        return x + (1 - mask) * self.second(hidden)


class Discriminator(nn.Module):
    """AlexNet with two heads, as in preset `stl10`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 96, 11, 4, 5), nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3, self.conv4 = nn.Conv2d(256, 384, 3, padding=1), nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5, self.norm5 = nn.Conv2d(384, 256, 3, padding=1, groups=2, bias=False), Norm(256, 1e-3, 0.025)
        self.mask = nn.Conv2d(256, 1, 3, padding=1)
        self.fc1, self.norm = nn.Linear(256 * (size // 16) ** 2, 4096, bias=False), Norm(4096, 1e-3, 0.025)
        self.fc2 = nn.Linear(4096, 2)

    def forward(self, images: torch.Tensor, update: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        x = images * 127.5 + 17.5
        for conv in (self.conv1, self.conv2):
            x = F.local_response_norm(F.max_pool2d(F.relu(conv(x)), 3, 2, 1), 5, 1e-4, 0.75)
        x = F.relu(self.norm5(self.conv5(F.relu(self.conv4(F.relu(self.conv3(x))))), update))
        hidden = F.dropout(F.relu(self.norm(self.fc1(x.flatten(1)), update)), 0.5)
        return self.fc2(hidden).float(), self.mask(x).float()


class History:
    """Half of the corrupted images are past ones, see `tf_spot.models.history_buffer`."""

    def __init__(self, images: torch.Tensor, masks: torch.Tensor) -> None:
        self.images, self.masks = (torch.zeros(SLOTS, *x.shape, device=x.device) for x in (images, masks))
        self.rows, self.step = torch.arange(len(images), device=images.device), 0

    def __call__(self, images: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        takes = ((self.rows + self.step) % 2 == 0)[:, None, None, None]
        chosen = torch.randint(SLOTS, (len(images),), device=images.device)
        mixed = [torch.where(takes, b[chosen, self.rows], x) for b, x in ((self.images, images), (self.masks, masks))]
        slot = self.step // 2 % SLOTS
        if self.step % STORED_EVERY < 2 or self.step < 2 * SLOTS:
            for buffer, x in ((self.images, images), (self.masks, masks)):
                buffer[slot] = torch.where(takes, buffer[slot], x)
        self.step += 1
        return mixed[0], mixed[1]


class Game:
    """The adversarial step around a frozen autoencoder."""

    def __init__(self, images: torch.Tensor, layout: torch.memory_format, compiled: bool) -> None:
        batch, size = images.shape[0], images.shape[-1]
        layers = autoencoder().to(DEVICE, memory_format=layout).eval().requires_grad_(False)
        depth = len(list(layers)) - 2 - 4 * (len(WIDE) - 1)  # modules of the encoder
        self.encoder, self.decoder = layers[:depth], layers[depth:]
        self.repair = nn.ModuleList(map(Repair, WIDE)).to(DEVICE, memory_format=layout)
        self.discriminator = Discriminator(size).to(DEVICE, memory_format=layout)
        self.optimizers = [adam(net.parameters()) for net in (self.discriminator, self.repair)]
        self.images, self.layout, self.grid = images, layout, size // 16
        self.labels = torch.arange(2 * batch, device=DEVICE) < batch  # real first
        self.history = History(images, torch.zeros(batch, 1, self.grid, self.grid, device=DEVICE))
        maybe = (
            (lambda function: torch.compile(function, backend=COMPILER)) if compiled else (lambda function: function)
        )
        self.damaged, self.repaired = maybe(self._damaged), maybe(self._repaired)
        self.of_discriminator, self.of_repair = maybe(self._of_discriminator), maybe(self._of_repair)

    def _damaged(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        encoding = self.encoder(images).float()
        mask = (torch.rand(len(images), 1, self.grid, self.grid, device=DEVICE) < 0.5).float()
        fill = F.avg_pool2d(encoding, 3, 1, 1, count_include_pad=False)
        return self.decoder(encoding).float(), mask * encoding + (1 - mask) * fill, mask

    def _repaired(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        for number, block in enumerate(self.repair):
            x = block(x, mask)
            part = self.decoder[4 * number : 4 * number + 4] if number < len(WIDE) - 1 else self.decoder[-2:]
            x, mask = part(x), F.interpolate(mask, scale_factor=2, mode="nearest")
        return x.float()

    def _of_discriminator(self, real: torch.Tensor, corrupt: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        logits, cells = self.discriminator(torch.cat([real, corrupt]))
        found = F.binary_cross_entropy_with_logits(cells[len(real) :], mask)
        return F.cross_entropy(logits, self.labels.long()) + 0.1 * found

    def _of_repair(self, real: torch.Tensor, repaired: torch.Tensor) -> torch.Tensor:
        logits, _ = self.discriminator(torch.cat([real, repaired]), update=False)
        return F.cross_entropy(logits[len(real) :], self.labels[: len(real)].long())

    def step(self, autocast: Callable[[], Any]) -> None:
        with autocast(), torch.no_grad():
            real, damaged, mask = self.damaged(self.images)
        with autocast():
            repaired = self.repaired(damaged, mask)
            loss = self.of_discriminator(real, *self.history(repaired.detach(), mask))
        descend(self.optimizers[0], loss, self.discriminator)
        with autocast():
            loss = self.of_repair(real, repaired)
        descend(self.optimizers[1], loss, self.repair)


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        list(parameters),
        3e-4,
        (0.5, 0.999),
        eps=1e-5,
        weight_decay=5e-5,
        fused=DEVICE == "cuda",
        foreach=DEVICE == "cpu",
    )


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor, network: nn.Module) -> None:
    """Take the gradients by this network's parameters alone, and update them."""
    parameters: Sequence[nn.Parameter] = list(network.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()


def copying(images: torch.Tensor, layout: torch.memory_format, compiled: bool) -> Callable[[Callable[[], Any]], None]:
    """Return the step of stage 1."""
    model = autoencoder().to(DEVICE, memory_format=layout)
    optimizer = adam(model.parameters())
    forward = torch.compile(model, backend=COMPILER) if compiled else model

    def step(autocast: Callable[[], Any]) -> None:
        with autocast():
            decoded = forward(images)
        descend(optimizer, 30 * F.mse_loss(decoded.float(), images), model)

    return step


def extracting(
    images: torch.Tensor, layout: torch.memory_format, compiled: bool, precision: torch.dtype
) -> Callable[[Callable[[], Any]], None]:
    """Return the backbone's forward pass."""
    backbone = Backbone(random_weights()).eval()
    backbone.kernels = [kernel.to(DEVICE, precision, memory_format=layout) for kernel in backbone.kernels]
    backbone.shifts = [shift.to(DEVICE, precision) for shift in backbone.shifts]
    backbone.mean = backbone.mean.to(DEVICE)
    forward = torch.compile(backbone, backend=COMPILER) if compiled else backbone
    pixels = images * 127.5 + 127.5

    def step(autocast: Callable[[], Any]) -> None:
        with torch.inference_mode(), autocast():
            sum(maps.float().sum() for maps in forward(pixels).values())

    return step


def prepare(options: argparse.Namespace, described: dict[str, Any]) -> Callable[[], int]:
    """Return a function that makes STEPS steps, waits for the device and returns the images.

    Args:
        options: batch and size.
        described: see the module.
    """
    torch.manual_seed(0)
    layout = torch.channels_last if described["channels_last"] else torch.contiguous_format
    precision = torch.bfloat16 if described["precision"] == "bfloat16" else torch.float32
    shape = (options.batch, 3, options.size, options.size)
    images = (torch.rand(shape, device=DEVICE) * 2 - 1).to(memory_format=layout)
    if described["stage"] == "spotter":
        step = Game(images, layout, described["compiled"]).step
    elif described["stage"] == "autoencoder":
        step = copying(images, layout, described["compiled"])
    else:
        step = extracting(images, layout, described["compiled"], precision)

    def autocast() -> Any:
        return torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=precision is torch.bfloat16)

    def work() -> int:
        for _ in range(STEPS):
            step(autocast)
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return STEPS * options.batch

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=96)
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    answer_each(lambda described: prepare(options, described))


if __name__ == "__main__":
    main()
