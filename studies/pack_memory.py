"""Measure the peak memory of packing and training against the number of photos: python studies/pack_memory.py

For 10,000 and a million (or --counts): that many generated JPEGs of 40 pixels (a hundred different ones under many
names), packed by `tf-spot pack`, then a few steps of both stages from the shards, each in a process of its own. Writes
results/pack-memory.json. A million photos take some 5 GB in the folder for temporary files.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "studies")]

import replicas  # noqa: E402

from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

KINDS, SHARD_MB = 100, 32
TRAINING = (*replicas.SETTINGS, "training.deterministic=false")


def generate(folder: Path, count: int) -> None:
    """Write `count` JPEGs, `KINDS` of them different and the others hard links, a thousand per folder."""
    import numpy as np
    from PIL import Image

    numbers = np.random.default_rng(0)
    for i in range(count):
        group = folder / f"{i // 1000:04}"
        group.mkdir(parents=True, exist_ok=True)
        if i < KINDS:
            small = numbers.integers(0, 256, (6, 6, 3), np.uint8)
            Image.fromarray(small).resize((40, 40)).save(group / f"{i:07}.jpg")
        else:
            os.link(folder / "0000" / f"{i % KINDS:07}.jpg", group / f"{i:07}.jpg")


def peak(words: list[str]) -> dict[str, float]:
    """Return seconds and peak memory of `tf-spot` with these arguments, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    began = time.monotonic()
    done = subprocess.run([sys.executable, __file__, "--here", *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return {"peak_mib": round(int(done.stdout.splitlines()[-1]) / 1024), "seconds": round(time.monotonic() - began)}


def row(count: int) -> dict[str, Any]:
    """Generate that many photos, pack them and train from the shards."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        generate(home / "photos", count)
        shards = str(home / "shards")
        pack = ["pack", "--data", f"folder:{home / 'photos'}", "--out", shards, "--shard-mb", str(SHARD_MB)]
        settings = [word for change in TRAINING for word in ("--set", change)]
        train = ["train", "--data", f"shards:{shards}", "--out", str(home / "run"), "--preset", "tiny", *settings]
        return {"photos": count, "pack": peak(pack), "train": peak(train)}


def table(result: dict[str, Any]) -> str:
    """Return one line per number of photos."""
    lines = ["photos     peak memory of packing  of training from the shards"]
    for one in result["rows"]:
        lines.append(f"{one['photos']:<9,} {one['pack']['peak_mib']:>19,} MiB {one['train']['peak_mib']:>24,} MiB")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 1_000_000])
    counts = parser.parse_args().counts
    rows = []
    for count in counts:
        rows.append(row(count))
        print(rows[-1], flush=True)
    result = {"task": "pack-memory", "shard_mb": SHARD_MB, "settings": list(TRAINING), "rows": rows}
    command = f"python studies/pack_memory.py --counts {' '.join(map(str, counts))}"
    write_json(ROOT / "results" / "pack-memory.json", result | provenance(command))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        from tf_spot import cli

        code = cli.main(sys.argv[2:])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        sys.exit(code)
    main()
