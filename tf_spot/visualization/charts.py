"""The drawings of a report as data URIs: curves over training, and pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image


class Chart(NamedTuple):
    """Curves of one stage that are drawn together."""

    title: str
    stage: str  # `autoencoder`, `spotter`, or another method of `tf-spot compare`
    curves: tuple[str, ...]  # names in metrics.jsonl
    healthy: str  # what a reader should expect
    log_scale: bool = False
    between_0_and_1: bool = False
    at_least: tuple[float, float] | None = None  # what the axis covers: less would magnify noise


CHARTS = (
    Chart("Copying photos", "autoencoder", ("reconstruction_loss", "held_out_reconstruction_loss"),
          "Healthy: both fall, fast at first, and stay together. Held-out photos above the others: too few photos.",
          log_scale=True),
    Chart("PSNR of the copies in dB", "autoencoder", ("held_out_psnr",),
          "Healthy: climbs above 24 (held-out photos). Below that the copies are a blur: no detail to learn from.",
          at_least=(15.0, 30.0)),
    Chart("Detail in the copies", "autoencoder", ("held_out_laplacian_share",),
          "Healthy: climbs. The share of the photos' high frequencies (Laplacian energy) that their copies keep.",
          between_0_and_1=True),
    Chart("Who wins the game", "spotter", ("decoded_accuracy", "repaired_accuracy"),
          "Healthy: both above 0.5 and below 1. Both at 1 for good: the repair network has lost and the task is too "
          "easy. One at 1, the other at 0: the discriminator says the same of every image.",
          between_0_and_1=True),
    Chart("The same on held-out photos", "spotter", ("held_out_decoded_accuracy", "held_out_repaired_accuracy"),
          "Healthy: jumps about, as the game does, but on average follows the training photos.",
          between_0_and_1=True),
    Chart("Losses of the game", "spotter", ("realness_loss", "mask_loss", "adversarial_loss"),
          "Healthy: bounded; the realness and mask losses below 0.69, the loss of a coin toss.",
          at_least=(0.0, 1.0)),
    Chart("Finding the dropped cells", "spotter", ("held_out_mask_auc",),
          "Healthy: above 0.5, which is guessing (held-out photos). The better the repair hides, the lower.",
          between_0_and_1=True),
    Chart("Hiding the damage", "spotter", ("held_out_unrepaired_distance", "held_out_repaired_distance"),
          "Healthy: repaired falls well below unrepaired. The distance of patches in dropped cells to decoded ones. "
          "Above it: the repair makes damage easier to see than it was.",
          at_least=(0.0, 0.01)),
    Chart("Brightness of repaired cells", "spotter", ("held_out_brightness_shift",),
          "Healthy: within 5 grey levels of 0, which is that of the decoded images.",
          at_least=(-5.0, 5.0)),
    Chart("Nearest neighbours and a linear classifier", "spotter", ("knn_accuracy", "linear_accuracy"),
          "Healthy: both climb: photos with like features more and more often have the same label, and a linear "
          "classifier of conv5 finds it more often (held-out photos).",
          between_0_and_1=True),
    Chart("Effective rank of the features", "spotter", ("effective_rank",),
          "Healthy: many directions in use. A fall towards 1 means that the features collapse.",
          at_least=(0.0, 10.0)),
    Chart("Spread of the features", "spotter", ("feature_std",),
          "Healthy: stays well away from 0. At 0 every image has the same features.",
          at_least=(0.0, 0.1)),
)  # fmt: skip


def of_own_task(method: str) -> tuple[Chart, ...]:
    """Return the charts of what another method of `tf-spot compare` learned of its own task."""
    return (
        Chart("Accuracy at its own task", method,
              ("pretext_accuracy", "colour_accuracy", "lightness_accuracy", "inpainted_found"),
              "Healthy: climbs above that of guessing, and not to 1 at once: a task so easy has a shortcut."),
        Chart("Loss of its own task", method, ("pretext_loss", "discriminator_loss", "inpainter_loss"),
              "Healthy: falls; against a discriminator it may climb while features get better."),
    )  # fmt: skip


def draw(chart: Chart, metrics: Sequence[dict[str, Any]]) -> str | None:
    """Draw a chart as an SVG data URI; return None if none of its curves was recorded.

    Args:
        chart: one of `CHARTS`.
        metrics: the lines of metrics.jsonl.
    """
    lines = [line for line in metrics if line["stage"] == chart.stage]
    curves = {name: points for name in chart.curves if (points := _points(lines, name))}
    if not curves:
        return None
    with matplotlib.rc_context({"font.size": 9, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(5.2, 2.9), layout="constrained")
        axes = figure.add_subplot()
        for name, points in curves.items():
            # Dots show where few points were measured; many would hide the curve.
            axes.plot(*zip(*points, strict=True), marker="." if len(points) < 40 else "", label=name.replace("_", " "))
        axes.set_xlabel("steps")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        if chart.log_scale:
            axes.set_yscale("log")
        if chart.between_0_and_1:
            axes.set_ylim(-0.02, 1.02)
        if chart.at_least:
            low, high = axes.get_ylim()
            axes.set_ylim(min(low, chart.at_least[0]), max(high, chart.at_least[1]))
        # Above the curves, which it never hides, and no smaller than the axes' own words.
        figure.legend(loc="outside upper left", ncols=len(curves), frameon=False)
        return svg(figure)


def _points(lines: Sequence[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """Return (step, value) where the metric was recorded."""
    return [(line["step"], line[name]) for line in lines if line.get(name) is not None]


def svg(figure: Figure) -> str:
    """Return `figure` as an SVG data URI, the same for the same figure."""
    file = io.BytesIO()
    # Without the salt the ids in the file are random; without `Date` it holds the time.
    with matplotlib.rc_context({"svg.hashsalt": "tf_spot"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return data_uri(file.getvalue(), "svg+xml")


def png(image: Image.Image) -> str:
    """Return `image` as a PNG data URI."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return data_uri(file.getvalue(), "png")


def jpeg(image: Image.Image, longest_side: int) -> str:
    """Return `image`, shrunk to `longest_side` pixels if it is larger, as a JPEG data URI."""
    small = image.convert("RGB")
    small.thumbnail((longest_side, longest_side))
    file = io.BytesIO()
    small.save(file, format="JPEG", quality=85)
    return data_uri(file.getvalue(), "jpeg")


def data_uri(content: bytes, kind: str) -> str:
    """Return `content`, of media type image/`kind`, as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
