"""How fast features for probes are extracted, beside the backbone's own rate: writes results/extraction.json.

    python results/extraction.py RUN --data SPEC

In turns, so that both meet the same machine: `forward`, the backbone on one batch that lies in memory; `extraction`,
what a probe does: photos are read, decoded and cropped, the backbone computes conv1 to conv5, and these are pooled.
Both have the same batch size. Every rate is a median of images a second over TURNS turns. `photos` and `pooling` are
what extraction adds, each alone.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.data import open_source  # noqa: E402
from tf_spot.evaluation.pooling import Pooling, pooled_layers  # noqa: E402
from tf_spot.results import BATCH  # noqa: E402
from tf_spot.runs import Run, provenance, write_json  # noqa: E402
from tf_spot.training import load_spotter  # noqa: E402

TURNS = 5
BATCHES = 20  # a turn


def measure(path: Path, spec: str, batches: int = BATCHES, turns: int = TURNS) -> dict[str, Any]:
    """The figures of the file."""
    config = Run(path).config
    source = open_source(spec, image_size=config.data.image_size, config=config.data, seed=config.training.seed)
    backbone, pooling = load_spotter(Run(path)).backbone, Pooling()
    images = next(iter(source.labelled("train", BATCH)))[0]
    maps = backbone(images)

    def read() -> Any:  # for ever: a probe reads on, so the start of the reading is not counted
        return (batch for _ in itertools.count() for batch, _ in source.labelled("train", BATCH) if len(batch) == BATCH)

    for_extraction, alone = read(), read()
    work: dict[str, Callable[[], Any]] = {
        "forward": lambda: backbone(images)["conv5"].numpy(),
        "extraction": lambda: pooled_layers(backbone, next(for_extraction), pooling),
        "photos": lambda: next(alone).numpy(),
        "pooling": lambda: pooled_layers(lambda _: maps, None, pooling),
    }
    rates: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(turns + 1):
        for name, do in work.items():
            rate = _rate(do, batches)
            if turn:  # the first one is to warm up
                rates[name].append(rate)
    medians = {name: round(statistics.median(found), 1) for name, found in rates.items()}
    share = statistics.median(e / f for e, f in zip(rates["extraction"], rates["forward"], strict=True))
    return {
        "task": "extraction", "preset": config.preset, "image_size": config.data.image_size, "data": source.name,
        "unit": "images a second", "batch_size": BATCH, "rates": medians, "turns": rates,
        "extraction_share_of_forward": round(share, 3),
    }  # fmt: skip


def _rate(do: Callable[[], Any], batches: int) -> float:
    started = time.perf_counter()
    for _ in range(batches):
        do()
    return batches * BATCH / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path)
    parser.add_argument("--data", metavar="SPEC", required=True)
    options = parser.parse_args()
    found = measure(options.run, options.data)
    command = shlex.join(["python", "results/extraction.py", "RUN", "--data", "SPEC"])
    write_json(ROOT / "results" / "extraction.json", found | provenance(command))
    print(found["rates"], f"share {found['extraction_share_of_forward']:.2f}")


if __name__ == "__main__":
    main()
