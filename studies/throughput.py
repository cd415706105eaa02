"""Measure the throughput of two workers against one: python studies/throughput.py [--rounds 3] [--steps 20]

Trains spotters of the preset `small` on generated photos. Every process is pinned to one core (Linux): one alone; two
that know nothing of each other, at the same time, one per core; two workers of one training, one per core, with twice
the batch. The three take turns. Writes results/throughput.json: images per second of all rounds, ratios of their
medians, the bytes that the workers exchange in a step, and what docs/scaling.md predicts from them for many GPUs.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "studies"), str(ROOT / "benchmarks")]

import replicas  # noqa: E402

from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

BATCH, WARM = 16, 3  # images per process and step; steps before the clock starts
SETTINGS = ("game.history_batches=2", "training.deterministic=false")
WAYS = {"alone": 1, "two strangers": 2, "two workers": 2}  # processes

# What the prediction assumes: preset stl10, 64 images per GPU.
GPU_BATCH = 64
GPU_FLOPS = 40e12  # 32-bit operations per second, sustained; an assumption, no GPU was measured
LINK = 25e9  # bytes per second from one GPU to the next: 200 Gbit/s
LATENCY = 10e-6  # seconds per hop of a ring
WORLD = (8, 64, 512)


def train_here(steps: int, photos: Path, together: bool) -> dict[str, float]:
    """Return the images per second after the first steps, those of all workers counted."""
    import keras

    from tf_spot.config import preset
    from tf_spot.data import load
    from tf_spot.distributed.strategies import leave, make_strategy, training_stream
    from tf_spot.models.from_config import build_autoencoder, build_spotter

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if batch in (WARM - 1, WARM + steps - 1):
                times.append(time.perf_counter())

    times: list[float] = []
    strategy = make_strategy("multiworker" if together else "none", 120)
    batch = BATCH * strategy.num_replicas_in_sync
    config = preset("small").override([*SETTINGS, f"training.batch_size={batch}"])
    source = load(f"folder:{photos}", image_size=config.data.image_size, config=config.data)
    with strategy.scope():
        spotter = build_spotter(config, build_autoencoder(config))
    stream = training_stream(strategy, source, batch, 0, 0)
    spotter.fit(stream, steps_per_epoch=WARM + steps, epochs=1, verbose=0, callbacks=[Clock()], shuffle=False)
    leave(strategy)
    return {"images_per_second": steps * batch / (times[1] - times[0])}


def trace_here() -> dict[str, int]:
    """Return what one step of preset stl10 costs a worker of two: arithmetic, and operations shared with the other.

    Bytes are those that a worker sends: to sums (gradients, moments of batch norm and their gradients), and to the
    history buffer (fresh images and masks).
    """
    import tensorflow as tf
    from count_flops import as_defined, flop

    from tf_spot.config import preset
    from tf_spot.distributed.strategies import leave, make_strategy
    from tf_spot.models.from_config import build_autoencoder, build_spotter

    strategy = make_strategy("multiworker", 120)
    config = preset("stl10").override([f"training.batch_size={2 * GPU_BATCH}"])
    with strategy.scope():
        spotter = build_spotter(config, build_autoencoder(config))
    size = config.data.image_size

    def step(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return strategy.run(spotter.train_step, args=(images,))

    function = as_defined(step, tf.TensorSpec((GPU_BATCH, size, size, 3)))
    shared = [operation for operation in function.graph.get_operations() if operation.type.startswith("Collective")]
    summed = [operation.inputs[0] for operation in shared if operation.type == "CollectiveReduceV2"]
    leave(strategy)
    return {
        "operations": len(shared),
        "summed_bytes": sum(tensor.dtype.size * tensor.shape.num_elements() for tensor in summed),
        "gathered_bytes": 4 * GPU_BATCH * (3 * size**2 + spotter.autoencoder.grid_size**2),
        "flop": flop(function),
    }


def predict(step: dict[str, int]) -> list[dict[str, Any]]:
    """Predict the weak scaling of stl10, GPU_BATCH images per GPU, nothing overlapped; formula: docs/scaling.md."""
    compute, rows = step["flop"] / GPU_FLOPS, []
    for world in WORLD:
        sums = 2 * (world - 1) / world * step["summed_bytes"] / LINK
        hops = 2 * math.ceil(math.log2(world)) * step["operations"] * LATENCY
        history = (world - 1) * step["gathered_bytes"] / LINK
        rows.append({
            "gpus": world, "compute_ms": compute, "sums_ms": sums, "latency_ms": hops, "history_ms": history,
            "efficiency": compute / (compute + sums + hops + history),
            "efficiency_without_history": compute / (compute + sums + hops),
        })  # fmt: skip
    return [{key: _rounded(key, value) for key, value in row.items()} for row in rows]


def table(result: dict[str, Any]) -> str:
    """Return the measured ratios and the predicted efficiency."""
    step = result["step_of_stl10"]
    lines = [
        f"two workers against one:           {result['two_workers_to_one']:.2f}",
        f"two strangers against one:         {result['two_strangers_to_one']:.2f}",
        f"two workers against two strangers: {result['two_workers_to_two_strangers']:.2f}",
        "",
        f"a step of stl10, {result['assumed']['images_a_gpu']} images a GPU: {step['flop'] / 1e12:.2f} TFLOP, "
        f"{step['summed_bytes'] / 1e6:.0f} MB summed, {step['gathered_bytes'] / 1e6:.1f} MB gathered, "
        f"{step['operations']} operations",
        "",
        "GPUs  compute   sums  latency  history  efficiency  without history   (ms; share of the step spent computing)",
    ]
    for row in result["predicted"]:
        lines.append(
            f"{row['gpus']:4} {row['compute_ms']:8.1f} {row['sums_ms']:6.1f} {row['latency_ms']:8.1f} "
            f"{row['history_ms']:8.1f} {row['efficiency']:11.2f} {row['efficiency_without_history']:16.2f}"
        )
    return "\n".join(lines)


def _rounded(key: str, value: float) -> float:
    return round(1000 * value, 3) if key.endswith("_ms") else round(value, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = replicas.make_photos(Path(folder) / "photos", count=200)
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, per_round in rates.items():
                together = way == "two workers"
                words = ["--steps", str(options.steps), "--photos", str(photos), *["--together"] * together]
                measured = [result["images_per_second"] for result in run(way, words)]
                # Each worker counts the images of both; the slower one ends the training.
                per_round.append(min(measured) if together else sum(measured))
                print(way, per_round[-1], flush=True)
    step = run("two workers", ["--trace"])[0]
    medians = {way: statistics.median(per_round) for way, per_round in rates.items()}
    result = {
        "task": "throughput", "preset": "small", "settings": list(SETTINGS), "images_a_process": BATCH,
        "steps": options.steps, "images_per_second": {way: [round(one, 2) for one in rates[way]] for way in WAYS},
        "two_workers_to_one": round(medians["two workers"] / medians["alone"], 3),
        "two_strangers_to_one": round(medians["two strangers"] / medians["alone"], 3),
        "two_workers_to_two_strangers": round(medians["two workers"] / medians["two strangers"], 3),
        "step_of_stl10": step,
        "assumed": {"images_a_gpu": GPU_BATCH, "gpu_flop_a_second": GPU_FLOPS, "link_bytes_a_second": LINK,
                    "seconds_a_hop": LATENCY},
        "predicted": predict(step),
    }  # fmt: skip
    command = f"python studies/throughput.py --rounds {options.rounds} --steps {options.steps}"
    write_json(ROOT / "results" / "throughput.json", result | provenance(command))
    print(json.dumps({key: result[key] for key in ("two_workers_to_one", "two_workers_to_two_strangers", "predicted")}))


def run(way: str, words: list[str]) -> list[dict[str, Any]]:
    """Return what the processes of one way print, each on a core of its own."""
    cluster, processes = replicas.free_addresses(WAYS[way]), []
    for core in range(WAYS[way]):
        environment = replicas.environment(cluster, core)
        if way != "two workers":
            del environment["TF_CONFIG"]
        command = [sys.executable, __file__, "--core", str(core), *words]
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    printed = [process.communicate() for process in processes]
    failed = [err for process, (_, err) in zip(processes, printed, strict=True) if process.returncode]
    if failed:
        raise RuntimeError(failed[0])
    return [json.loads(out.splitlines()[-1]) for out, _ in printed]


def worker() -> None:
    """Run one process, pinned to one core."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args()
    os.sched_setaffinity(0, [options.core])
    found = trace_here() if options.trace else train_here(options.steps, options.photos, options.together)
    print(json.dumps(found))


if __name__ == "__main__":
    if "--core" in sys.argv:
        worker()
    else:
        main()
