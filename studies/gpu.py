"""Format results/benchmarks/CARD for studies/tables.py; `python benchmarks/gpu.py` writes the files."""

from __future__ import annotations

from typing import Any


def table(result: dict[str, Any]) -> str:
    """Return rates, ratios, shares of the card, memory and seconds of one part, whatever it has of them."""
    lines = [f"{result['part']}, {result['device']}, {result['image_size']} pixels, batch {result['batch']}"]
    lines += [f"{name:<49}{rate:9,.0f} images/s" for name, rate in _of_images(result.get("images_per_second", {}))]
    lines += [f"{name:<49}{seconds:9.1f} s" for name, seconds in result.get("seconds", {}).items()]
    lines += [f"{name:<49}{mib:9,.0f} MiB" for name, mib in result.get("peak_mib", {}).items() if mib is not None]
    for name, shares in result.get("used", {}).items():
        told = ", ".join(f"{100 * share:.0f} % of its {what}" for what, share in shares.items())
        lines.append(f"{name} uses {told}")
    if result.get("ratios"):
        lines += ["", "ratios", *(f"{name:<52}{ratio:6.2f}" for name, ratio in result["ratios"].items())]
    lines += [f"not measured: {name} ({reason})" for name, reason in result.get("missing", {}).items()]
    return "\n".join(lines)


def _of_images(rates: dict[str, float]) -> list[tuple[str, float]]:
    """Return the rates that are images per second, without those of products and copies, the fastest first."""
    of_images = [(name, rate) for name, rate in rates.items() if name.partition(",")[0] not in ("product", "copy")]
    return sorted(of_images, key=lambda row: -row[1])
