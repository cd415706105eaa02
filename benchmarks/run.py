"""Measure speed as ratios: python benchmarks/run.py [--torch-python PYTHON --torch-step FILE] [--check] [--only PART]

Writes results/benchmarks/KIND/PART.json for each part of `PARTS`, in under 15 minutes on two idle cores. KIND is
`bfloat16` on a processor with bfloat16 instructions, else `float32`, and the processor's vendor, family and model, as
ratios are not comparable between processors. Contestants take turns (take_turns.py). A rate is the median over the
rounds, a ratio the median of the ratios within a round. `--check` writes nothing: it compares the ratios with the
committed ones of this processor, or of another one with the same instructions if there are none, and fails where one
fell by more than 10 % or a limit is exceeded; ratios that cannot be taken without PyTorch are said to be not measured.
The parts `profile` and `growth` have neither ratios nor limits, so `--check` leaves them out.

PyTorch needs its own Python with torch (`--torch-python`) and, for the adversarial step, a script that runs it
(`--torch-step`); without them its rows are left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from take_turns import CORES, child, on_two_cores, started, take_turns  # noqa: E402

from tf_spot.commands.doctor import examine  # noqa: E402
from tf_spot.storage.files import write_json  # noqa: E402
from tf_spot.storage.provenance import provenance  # noqa: E402

RESULTS = ROOT / "results" / "benchmarks"
HERE = ROOT / "benchmarks"
STEP = [sys.executable, str(HERE / "training_step.py")]
BATCH = 32
TORCH_MODES = {
    "float32": [],
    "float32, channels last": ["--channels-last"],
    "bfloat16": ["--bf16"],
    "bfloat16, channels last": ["--bf16", "--channels-last"],
}
TOLERATED = 0.9  # smallest share of the committed ratio that passes `--check`


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", type=Path, help="a Python with torch")
    parser.add_argument("--torch-step", type=Path, help="a script that runs the adversarial step in it")
    parser.add_argument("--only", choices=tuple(PARTS), action="append", help="measure this part only; may be repeated")
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing")
    options = parser.parse_args()
    parts = chosen(options.only, options.check)
    on_two_cores()
    target = RESULTS / kind()
    if not options.check:
        target.mkdir(exist_ok=True)
    wrong: list[str] = []
    unmeasured: list[str] = []
    origin = provenance("make bench")  # before the first written file makes the working tree dirty
    for name in parts:
        result = {"task": "speed", "part": name, "cores": CORES, "processor": processor()} | PARTS[name](options)
        print(json.dumps({name: result.get("ratios", result)}, indent=2), flush=True)
        if options.check:
            committed = json.loads(committed_file(name).read_text(encoding="utf-8"))
            wrong += failures(committed, result)
            unmeasured += not_measured(committed, result)
        else:
            write_json(target / f"{name}.json", result | origin | ratios_before(target / f"{name}.json"))
    print("\n".join(unmeasured), flush=True)
    sys.exit("\n".join(wrong) or 0)


def chosen(only: list[str] | None, check: bool) -> list[str]:
    """Return the parts to measure; those that can be compared if `check`.

    Raises:
        SystemExit: a part that has nothing to compare is asked for.
    """
    if not check:
        return only or list(PARTS)
    if nothing := DESCRIPTIONS.intersection(only or ()):
        sys.exit(f"{', '.join(sorted(nothing))}: no ratios or limits to compare; run without --check")
    return only or [name for name in PARTS if name not in DESCRIPTIONS]


def kind() -> str:
    """Return the name of the folder of this processor's ratios, such as float32-amd-23-1."""
    instructions = "bfloat16" if "bfloat16" in precisions() else "float32"
    return "-".join(filter(None, [instructions, processor()]))


def processor() -> str:
    """Return vendor, family and model of this processor, such as amd-23-1; "" where the system does not say."""
    file = Path("/proc/cpuinfo")
    pairs = (line.partition(":") for line in file.read_text().splitlines()) if file.is_file() else ()
    said = {name.strip(): value.strip() for name, _, value in pairs}
    vendor = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}.get(said.get("vendor_id", ""))
    return f"{vendor}-{said['cpu family']}-{said['model']}" if vendor else ""


def committed_file(part: str) -> Path:
    """Return the committed ratios of a part: this processor's, else those of another with the same instructions.

    Raises:
        SystemExit: there are none.
    """
    mine = kind()
    own = RESULTS / mine / f"{part}.json"
    if own.is_file():
        return own
    found = sorted(RESULTS.glob(f"{mine.partition('-')[0]}*/{part}.json"))
    if not found:
        sys.exit(f"no ratios of {part} on a processor like this one, {mine}, are committed; run without --check")
    print(f"{part}: none of this processor, {mine}, are committed; those of {found[0].parent.name} are", flush=True)
    return found[0]


def ratios_before(file: Path) -> dict[str, Any]:
    """Return the ratios and the commit of the file that is about to be replaced, as the entry `before`."""
    last = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {"before": {key: last[key] for key in ("ratios", "commit")}} if "ratios" in last else {}


def training_step(options: argparse.Namespace) -> dict[str, Any]:
    """Compare the adversarial step of preset `stl10` with PyTorch and with plain matrix products."""
    torch = [sys.executable, HERE / "restart_each_turn.py", options.torch_python, options.torch_step, "--steps", "2"]
    return compare_with_torch_and_products("spotter", torch, rounds=3, seconds=4)


def autoencoder_step(options: argparse.Namespace) -> dict[str, Any]:
    """Compare the step of stage 1."""
    return compare_with_torch_and_products("autoencoder", [options.torch_python, HERE / "torch_autoencoder.py"], 9, 1)


def features(options: argparse.Namespace) -> dict[str, Any]:
    """Compare the backbone's forward pass, as in probes and `tf-spot embed`."""
    return compare_with_torch_and_products("backbone", [options.torch_python, HERE / "torch_backbone.py"], 15, 1)


def compare_with_torch_and_products(
    stage: str, torch: list[str | Path | None], rounds: int, seconds: float
) -> dict[str, Any]:
    """Compare our step with PyTorch's and with plain matrix products, in each precision.

    Args:
        stage: see training_step.py.
        torch: the command of the PyTorch version; it is left out if an element is None, an option that was not given.
        rounds: number of rounds.
        seconds: length of a turn; at least one step is made.
    """
    commands = {}
    for precision, chosen in precisions().items():
        commands[f"ours, {precision}"] = [*STEP, "--stage", stage, "--turns", *chosen]
        commands[f"matrix product, {precision}"] = [sys.executable, str(HERE / "matrix_product.py"), precision]
    if None not in torch:
        commands |= torch_modes(list(map(str, torch)))
    with started(commands) as contestants:
        rounds_by_batch = take_turns(contestants, rounds, seconds, [BATCH])
        gflop = {name: one.ready["gflop"] for name, one in contestants.items() if "gflop" in one.ready}
    runs = {name: by_batch[str(BATCH)] for name, by_batch in rounds_by_batch.items()}
    rates = {name: values for name, values in runs.items() if "product" not in name}
    # GFLOP per second: a product counts as a batch of BATCH images, so its rate is converted in the same way.
    work = {name: [rate / BATCH * each for rate in runs[name]] for name, each in gflop.items()}
    ratios = ratios_to_torch(rates)
    for precision in precisions():
        ours, product = (work[f"{name}, {precision}"] for name in ("ours", "matrix product"))
        ratios[f"ours, {precision} / matrix product"] = ratio(ours, product)
    return {
        "image_size": 96,
        "batch": BATCH,
        "width": 1.0,
        "rounds": rounds,
        "images_per_second": {name: median(values) for name, values in rates.items()},
        "ratios": ratios,
        "gflop": gflop["ours, float32"],
        "gflop_per_second": {name: median(values) for name, values in work.items() if "product" in name},
        "runs": runs,
    }


def input_pipeline(options: argparse.Namespace) -> dict[str, Any]:
    """Compare training images per core-second with libjpeg-turbo, and measure the time spent waiting for data."""
    run = child([sys.executable, str(HERE / "input_pipeline.py")])
    turbo = run["libjpeg_turbo_images_per_core_second"]
    ratios = {
        "pipeline / libjpeg-turbo": round(run["pipeline_images_per_core_second"] / turbo, 3),
        "cached pipeline / libjpeg-turbo": round(run["cached_pipeline_images_per_core_second"] / turbo, 3),
        "time not waiting": 1 - run["share_of_time_waiting"],
    }
    return run | {"ratios": ratios, "limits": {"share_of_time_waiting": 0.02, "first_epoch_with_cache": 1.0}}


def start_up(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the seconds from launch to the help text and to the first update of a training."""
    run = child([sys.executable, str(HERE / "start_up.py")])
    return run | {"limits": {"help_seconds": 0.5, "first_step_seconds_small": 20.0}}


def profile(options: argparse.Namespace) -> dict[str, Any]:
    """Measure where the time of a step goes."""
    return {"image_size": 96, "batch": BATCH} | child([sys.executable, str(HERE / "profile_step.py")])


def growth(options: argparse.Namespace) -> dict[str, Any]:
    """Measure time and memory of a step against image size, batch size and width, the other two held constant."""
    base = {"size": 64, "batch": 16, "width": 0.5}
    values = {"size": (32, 64, 96, 160, 224), "batch": (1, 4, 16, 64, 256), "width": (0.25, 0.5, 1.0)}
    cases = {tuple((base | {name: value}).items()) for name, choices in values.items() for value in choices}
    rows = []
    for case in sorted(cases):
        words = [word for key, number in case for word in (f"--{key}", str(number))]
        run = child([*STEP, "--steps", "2", *words])
        metrics = {"seconds": statistics.median(run["seconds"]), "gflop": run["gflop"], "peak_mib": run["peak_mib"]}
        rows.append(dict(case) | metrics)
    return {"base": base, "varied": {name: list(choices) for name, choices in values.items()}, "rows": rows}


PARTS = {
    "training-step": training_step,
    "autoencoder-step": autoencoder_step,
    "features": features,
    "input-pipeline": input_pipeline,
    "start-up": start_up,
    "profile": profile,
    "growth": growth,
}
DESCRIPTIONS = {"profile", "growth"}  # parts without ratios or limits


def precisions() -> dict[str, list[str]]:
    """Return the options of training_step.py for each precision: bfloat16 only if the processor supports it."""
    single: dict[str, list[str]] = {"float32": []}
    return single | ({"bfloat16": ["--set", "training.precision=mixed_bfloat16"]} if examine()["bfloat16"] else {})


def torch_modes(command: list[str]) -> dict[str, list[str]]:
    """Return PyTorch's commands in the same precisions: where bfloat16 is emulated, one of its steps takes minutes."""
    ours = precisions()
    wanted = {mode: words for mode, words in TORCH_MODES.items() if mode.partition(",")[0] in ours}
    return {f"torch, {mode}": [*command, *words] for mode, words in wanted.items()}


def ratios_to_torch(rates: dict[str, list[float]]) -> dict[str, float]:
    """Return our float32 over PyTorch's best float32, and our best over PyTorch's best in any precision."""
    ours = {name: values for name, values in rates.items() if name.startswith("ours")}
    torch = {name: values for name, values in rates.items() if name.startswith("torch")}
    if not torch:
        return {}
    single = {name: values for name, values in torch.items() if "float32" in name}
    return {
        "ours, float32 / torch, float32": ratio(rates["ours, float32"], best(single)),
        "our best / torch's best": ratio(best(ours), best(torch)),
    }


def best(rates: dict[str, list[float]]) -> list[float]:
    """Return the rates of the contestant with the largest median."""
    return max(rates.values(), key=statistics.median)


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of the ratios within a round, which a slow round does not shift."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3)


def median(values: list[float]) -> float:
    return round(statistics.median(values), 3)


def failures(committed: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return a line for every ratio that fell by more than a tenth, and for every exceeded limit."""
    lines = []
    for name, was in committed.get("ratios", {}).items():
        if name in now["ratios"] and now["ratios"][name] < TOLERATED * was:
            lines.append(f"{now['part']}: {name}: {now['ratios'][name]} now, {was} committed")
    for name, limit in now.get("limits", {}).items():
        if now[name] > limit:
            lines.append(f"{now['part']}: {name}: {now[name]} now, the limit is {limit}")
    return lines


def not_measured(committed: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return a line for every committed ratio that was not taken now, for want of PyTorch."""
    missing = [name for name in committed.get("ratios", {}) if name not in now["ratios"]]
    return [f"{now['part']}: {name}: not measured now, {committed['ratios'][name]} committed" for name in missing]


if __name__ == "__main__":
    main()
