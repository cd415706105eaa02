"""Names of TensorBoard's scalars: those of metrics.jsonl, in groups."""

from __future__ import annotations

RATES = ("learning_rate", "images_per_second", "seconds", "probe_seconds")


def tag_of(name: str) -> str:
    """Return `loss/NAME`, `accuracy/NAME`, `rate/NAME` or, for any other signal, `health/NAME`.

    TensorBoard shows what stands before the slash as a section.

    Args:
        name: of a number in metrics.jsonl.
    """
    if name in RATES:
        return f"rate/{name}"
    kind = name.rpartition("_")[2]
    return f"{kind if kind in ('loss', 'accuracy') else 'health'}/{name}"
