"""Measure how fast features for probes are extracted, beside the networks' own rate: results/extraction.json.

    python studies/extraction.py RUN --data SPEC

Measured in turns, so that all see the same machine, on the photos of `test` in the same batches:

- `forward`: the maps of batches in memory, by each of the three extractors of an evaluation (the learned backbone, the
  one at random weights, and the encoder with the pixels);
- `extraction`: what `tf-spot evaluate` does: the prepared photos are read again for each extractor, its maps pooled;
- `whole`: the same and the preparation, in which photos are read, decoded and cropped, once for all extractors;
- `backbone`: the maps of the learned backbone alone;
- `embed`: the rows that `tf-spot embed` makes of the photos' files.

A rate is extractors times photos per second; the shares are medians over TURNS turns.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tensorflow as tf  # noqa: E402

from tf_spot.data import open_source  # noqa: E402
from tf_spot.evaluation.beside_controls import control_extractors  # noqa: E402
from tf_spot.evaluation.evaluate_run import BATCH  # noqa: E402
from tf_spot.evaluation.probes.examples import Decoded  # noqa: E402
from tf_spot.features.pooling import Pooling, pooled  # noqa: E402
from tf_spot.features.prefetch import ahead  # noqa: E402
from tf_spot.inference.embedder import open_embedder  # noqa: E402
from tf_spot.inference.embedding_rows import rows_of  # noqa: E402
from tf_spot.runs.load import load_spotter  # noqa: E402
from tf_spot.runs.run import Run  # noqa: E402
from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

TURNS = 5
ALONE = {"extraction": "forward", "whole": "forward", "embed": "backbone"}  # what each is a share of


def measure(path: Path, spec: str, turns: int = TURNS) -> dict[str, Any]:
    """Return the rates of a run's extractors, for the result file.

    Args:
        path: of the run.
        spec: of the photos.
        turns: measured, after one to warm up.
    """
    config, spotter, pooling = Run(path).config, load_spotter(Run(path)), Pooling()
    source = open_source(spec, config)
    controls = control_extractors(spotter.backbone, spotter.autoencoder, pooling, 0)
    extractors = [spotter.backbone, *controls.values()]
    bare = [tf.function(one, autograph=False) for one in extractors]
    vectors_of = [pooled(one, pooling) for one in extractors]
    held = [tf.constant(images) for images, _ in source.labelled("test", BATCH)]
    count = sum(len(images) for images in held)

    embedder = open_embedder(path, batch_size=BATCH)

    def forward(maps_of: Callable[[tf.Tensor], dict[str, tf.Tensor]]) -> None:
        for images in held:
            next(iter(reversed(maps_of(images).values()))).numpy()

    def extraction(photos: Decoded) -> None:
        for vectors in vectors_of:
            for _ in ahead(vectors, photos):  # a probe adds them up and drops them
                pass

    found: dict[str, list[float]] = {"forward": [], "extraction": [], "whole": [], "backbone": [], "embed": []}
    for turn in range(turns + 1):
        backbone, *others = (_timed(lambda maps_of=maps_of: forward(maps_of))[0] for maps_of in bare)  # type: ignore[misc]
        embed, _ = _timed(lambda: rows_of(embedder, source, "test", source.in_any_order("test", BATCH)))
        with tempfile.TemporaryDirectory() as folder:
            decoding, photos = _timed(lambda folder=folder: Decoded(source, "test", BATCH, Path(folder) / "test"))  # type: ignore[misc]
            again, _ = _timed(lambda photos=photos: extraction(photos))  # type: ignore[misc]
        if turn:  # the first one is to warm up
            seconds = {"forward": backbone + sum(others), "extraction": again, "whole": decoding + again,
                       "backbone": backbone, "embed": embed}  # fmt: skip
            for name, spent in seconds.items():
                extractors = 1 if name in ("backbone", "embed") else len(bare)
                found[name].append(round(extractors * count / spent, 1))
    shares = {name: statistics.median(e / f for e, f in zip(found[name], found[alone], strict=True))
              for name, alone in ALONE.items()}  # fmt: skip
    return {
        "task": "extraction", "preset": config.preset, "image_size": config.data.image_size, "data": source.name,
        "width": config.network.width, "unit": "images a second", "batch_size": BATCH, "photos": count,
        "rates": {name: statistics.median(rates) for name, rates in found.items()}, "turns": found,
        "shares": {name: round(share, 3) for name, share in shares.items()},
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """Return the rates and their shares as plain text."""
    head = f"{result['photos']:,} photos of {result['data']} at {result['image_size']} px, width {result['width']:g}"
    lines = [f"{head}, batch {result['batch_size']}: extractors times photos a second"]
    says = {"forward": "networks alone", "extraction": "prepared photos, networks, pooling",
            "whole": "with the preparation, once for three extractors", "backbone": "backbone alone",
            "embed": "tf-spot embed"}  # fmt: skip
    for name, what in says.items():
        share = f"{result['shares'][name]:8.0%}" if name in result["shares"] else ""
        lines.append(f"{what:<50}{result['rates'][name]:6.0f}{share}")
    return "\n".join(lines)


def _timed(do: Callable[[], Any]) -> tuple[float, Any]:
    """Call `do`; return the seconds it took and what it gives."""
    started = time.perf_counter()
    result = do()
    return time.perf_counter() - started, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path)
    parser.add_argument("--data", metavar="SPEC", required=True)
    options = parser.parse_args()
    found = measure(options.run, options.data)
    command = shlex.join(["python", "studies/extraction.py", "RUN", "--data", "SPEC"])
    write_json(ROOT / "results" / "extraction.json", found | provenance(command))
    print(table(found))


if __name__ == "__main__":
    main()
