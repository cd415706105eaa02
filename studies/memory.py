"""Measure peak memory and time per step against batch size: python studies/memory.py

Writes results/memory.json. Every row is a process of its own that builds a spotter of the preset `stl10` at half width
and trains it on random images of 96x96 pixels: one step to trace, STEPS that are timed. Rows that would start after
LIMIT seconds are left out and named.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

STEPS, LIMIT = 2, 240
SETTINGS = ("network.width=0.5", "network.fc_units=512", "game.history_batches=0", "training.deterministic=false")
MODES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "micro_batches": ("training.micro_batches=4",),
    "recompute": ("training.recompute=true",),
    "both": ("training.micro_batches=4", "training.recompute=true"),
}
BATCHES = (16, 32, 64)


def measure(batch: int, changes: list[str]) -> dict[str, Any]:
    """Measure in this process, which must be fresh.

    Returns:
        `peak_mib`, resident memory at the peak; `built_mib`, before the first step; `seconds_a_step`, of the quickest.
    """
    import resource

    import tensorflow as tf

    from tf_spot.config import preset
    from tf_spot.models.from_config import build_autoencoder, build_spotter

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux: KiB

    config = preset("stl10").override([*SETTINGS, f"training.batch_size={batch}", *changes])
    spotter = build_spotter(config, build_autoencoder(config))
    images = tf.random.stateless_uniform((batch, 96, 96, 3), (0, 1), -1.0, 1.0)
    step = tf.function(spotter.train_step, autograph=False)
    built = peak()
    step(images)
    seconds = []
    for _ in range(STEPS):
        started = time.perf_counter()
        float(step(images)["repair_loss"])
        seconds.append(time.perf_counter() - started)
    return {"peak_mib": round(peak()), "built_mib": round(built), "seconds_a_step": round(min(seconds), 3)}


def table(result: dict[str, Any]) -> str:
    """Return one line per mode: peak memory and seconds per step for each batch size."""
    batches = sorted({row["batch_size"] for row in result["rows"]})
    lines = ["batch size      " + "".join(f"{batch:>20}" for batch in batches)]
    for mode in result["modes"]:
        cells = {row["batch_size"]: row for row in result["rows"] if row["mode"] == mode}
        texts = (
            f"{cells[b]['peak_mib']:,} MiB {cells[b]['seconds_a_step']:5.1f} s" if b in cells else "-" for b in batches
        )
        lines.append(f"{mode:<16}" + "".join(f"{text:>20}" for text in texts))
    if result["left_out"]:
        lines.append(f"-: not measured, the time of {LIMIT} s was up")
    return "\n".join(lines)


def main() -> None:
    from tf_spot.storage.files import write_json
    from tf_spot.storage.provenance import provenance

    started, rows, left_out = time.monotonic(), [], []
    for batch in BATCHES:
        for mode, changes in MODES.items():
            row = {"batch_size": batch, "mode": mode}
            if time.monotonic() - started > LIMIT:
                left_out.append(row)
                continue
            command = [sys.executable, __file__, str(batch), *changes]
            quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
            done = subprocess.run(command, env=quiet, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr)
            rows.append(row | json.loads(done.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
    result = {
        "task": "memory", "preset": "stl10", "settings": list(SETTINGS),
        "modes": {name: list(changes) for name, changes in MODES.items()}, "rows": rows, "left_out": left_out,
    }  # fmt: skip
    write_json(ROOT / "results" / "memory.json", result | provenance("python studies/memory.py"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]), sys.argv[2:])))
    else:
        main()
