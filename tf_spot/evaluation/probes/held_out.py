"""A linear probe to choose by: fitted and tested on training photos alone, so that the test split stays unread."""

from __future__ import annotations

from typing import Any

from tf_spot.evaluation.probes.probe import linear_probe
from tf_spot.progress import Progress

EVERY = 5  # one labelled training photo of so many is tested on


def held_out_probe(
    extract: Any,
    source: Any,
    *,
    num_values: int,
    seed: int = 0,
    batch_size: int = 64,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Probes `extract` with four fifths of the labelled training photos and tests it on the others.

    Args:
        extract: images to {layer: maps}, for example a backbone.
        source: labelled photos; only the split "train" is read.
        num_values, seed, progress: see `linear_probe`.
        batch_size: images at a time.

    Returns:
        what `linear_probe` returns.
    """

    def part(tested: bool) -> Any:
        numbered = source.labelled("train", batch_size).unbatch().enumerate()
        chosen = numbered.filter(lambda number, _: (number % EVERY == 0) == tested)
        return chosen.map(lambda _, example: example).batch(batch_size)

    return linear_probe(extract, part(False), part(True), num_values=num_values, seed=seed, on_progress=on_progress)
