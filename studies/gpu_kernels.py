"""Format a file of `python benchmarks/gpu_kernels.py` for studies/tables.py."""

from __future__ import annotations

from typing import Any

SHOWN = 12  # types of operations


def table(result: dict[str, Any]) -> str:
    """Return the milliseconds of a step by type of operation, the longest first."""
    head = f"{result['part']}, {result['device']}, {result['image_size']} pixels, batch {result['batch']}"
    lines = [head, f"{result['milliseconds']:.1f} ms in {result['launches']:,} kernels; by operation, ms:"]
    lines += [f"  {name:<28}{value:6.1f}" for name, value in list(result["by_type"].items())[:SHOWN]]
    return "\n".join([*lines, *([result["note"]] if "note" in result else [])])
