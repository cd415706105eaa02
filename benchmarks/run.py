"""Speed as ratios taken in one run: python benchmarks/run.py [--torch-python PYTHON --torch-step FILE] [--check]

Writes results/benchmarks/KIND/PART.json for each part of `PARTS`, in under 15 minutes on two idle cores. KIND is
`bfloat16` on a processor that computes in bfloat16, else `float32`: their ratios are not alike. Where there are
competitors they take turns (take_turns.py), and every figure is a median over the rounds, a ratio that of the ratios
within a round. `--check` writes nothing; it compares the ratios with the committed ones of this kind of processor and
fails where one fell by more than 10 % or a limit is passed.

The rival, PyTorch, needs a Python of its own with torch (`--torch-python`) and, for the adversarial step, the script
that runs it (`--torch-step`); without them its rows are left out.
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
TOLERATED = 0.9  # of the committed ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", type=Path)
    parser.add_argument("--torch-step", type=Path)
    parser.add_argument("--only", choices=tuple(PARTS), action="append", help="this part; may be given more than once")
    parser.add_argument("--check", action="store_true", help="compare with what is committed instead of writing")
    options = parser.parse_args()
    on_two_cores()
    target = RESULTS / ("bfloat16" if "bfloat16" in precisions() else "float32")
    if options.check and not target.is_dir():
        parser.error(f"no figures of this kind of processor are committed: {target} is missing; run without --check")
    target.mkdir(exist_ok=True)
    wrong: list[str] = []
    now = provenance("make bench")  # before the first file that is written changes the tree
    for name in options.only or PARTS:
        result = {"task": "speed", "part": name, "cores": CORES} | PARTS[name](options)
        print(json.dumps({name: result.get("ratios", result)}, indent=2), flush=True)
        if options.check:
            wrong += failures(json.loads((target / f"{name}.json").read_text(encoding="utf-8")), result)
        else:
            write_json(target / f"{name}.json", result | now | before(target / f"{name}.json"))
    sys.exit("\n".join(wrong) or 0)


def before(file: Path) -> dict[str, Any]:
    """The ratios of the run whose file is about to be replaced, where it has some."""
    last = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {"before": {key: last[key] for key in ("ratios", "commit")}} if "ratios" in last else {}


def training_step(options: argparse.Namespace) -> dict[str, Any]:
    """The adversarial step of preset `stl10` beside PyTorch, and the rate of plain matrix products."""
    torch = [sys.executable, HERE / "restart_each_turn.py", options.torch_python, options.torch_step, "--steps", "2"]
    return beside_twin_and_products("spotter", torch, rounds=3, seconds=4)


def autoencoder_step(options: argparse.Namespace) -> dict[str, Any]:
    """The step of the first stage."""
    return beside_twin_and_products("autoencoder", [options.torch_python, HERE / "torch_autoencoder.py"], 9, 1)


def features(options: argparse.Namespace) -> dict[str, Any]:
    """The backbone's forward pass, as probes and `tf-spot embed` have it computed."""
    return beside_twin_and_products("backbone", [options.torch_python, HERE / "torch_backbone.py"], 15, 1)


def beside_twin_and_products(stage: str, torch: list[Any], rounds: int, seconds: float) -> dict[str, Any]:
    """In each precision, ours beside PyTorch and beside plain matrix products.

    Args:
        stage: see training_step.py.
        torch: the command of the twin, which is left out where a word was not given: None.
        rounds: of turns.
        seconds: of a turn, and at least one step.
    """
    commands = {}
    for precision, chosen in precisions().items():
        commands[f"ours, {precision}"] = [*STEP, "--stage", stage, "--turns", *chosen]
        commands[f"matrix product, {precision}"] = [sys.executable, str(HERE / "matrix_product.py"), precision]
    if None not in torch:
        commands |= torch_modes(list(map(str, torch)))
    with started(commands) as contestants:
        found = take_turns(contestants, rounds, seconds, [BATCH])
        gflop = {name: one.ready["gflop"] for name, one in contestants.items() if "gflop" in one.ready}
    runs = {name: by_batch[str(BATCH)] for name, by_batch in found.items()}
    rates = {name: values for name, values in runs.items() if "product" not in name}
    work = {name: [rate / BATCH * each for rate in runs[name]] for name, each in gflop.items()}  # GFLOP a second
    ratios = beside_torch(rates)
    for precision in precisions():
        ours, product = (work[f"{who}, {precision}"] for who in ("ours", "matrix product"))
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
    """Training images a core-second against libjpeg-turbo, and the share of a training's time spent waiting."""
    run = child([sys.executable, str(HERE / "input_pipeline.py")])
    share = run["pipeline_images_per_core_second"] / run["libjpeg_turbo_images_per_core_second"]
    ratios = {"pipeline / libjpeg-turbo": round(share, 3), "time not waiting": 1 - run["share_of_time_waiting"]}
    return run | {"ratios": ratios, "limits": {"share_of_time_waiting": 0.02}}


def start_up(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds from launch to help and to the first update of a training."""
    run = child([sys.executable, str(HERE / "start_up.py")])
    return run | {"limits": {"help_seconds": 0.5, "first_step_seconds_small": 20.0}}


def profile(options: argparse.Namespace) -> dict[str, Any]:
    """Where the time of a step goes."""
    return {"image_size": 96, "batch": BATCH} | child([sys.executable, str(HERE / "profile_step.py")])


def growth(options: argparse.Namespace) -> dict[str, Any]:
    """Time and memory of a step against image size, batch and width, the others held."""
    base = {"size": 64, "batch": 16, "width": 0.5}
    values = {"size": (32, 64, 96, 160, 224), "batch": (1, 4, 16, 64, 256), "width": (0.25, 0.5, 1.0)}
    cases = {tuple((base | {name: value}).items()) for name, choices in values.items() for value in choices}
    rows = []
    for case in sorted(cases):
        words = [word for key, number in case for word in (f"--{key}", str(number))]
        run = child([*STEP, "--steps", "2", *words])
        figures = {"seconds": statistics.median(run["seconds"]), "gflop": run["gflop"], "peak_mib": run["peak_mib"]}
        rows.append(dict(case) | figures)
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


def precisions() -> dict[str, list[str]]:
    """Our words for each precision; bfloat16 where the processor computes in it."""
    found: dict[str, list[str]] = {"float32": []}
    return found | ({"bfloat16": ["--set", "training.precision=mixed_bfloat16"]} if examine()["bfloat16"] else {})


def torch_modes(command: list[str]) -> dict[str, list[str]]:
    """PyTorch's modes in those precisions: where bfloat16 is emulated, one of its steps takes minutes."""
    ours = precisions()
    wanted = {mode: words for mode, words in TORCH_MODES.items() if mode.partition(",")[0] in ours}
    return {f"torch, {mode}": [*command, *words] for mode, words in wanted.items()}


def beside_torch(rates: dict[str, list[float]]) -> dict[str, float]:
    """Our float32 over PyTorch's best float32, and our best over PyTorch's best of all."""
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
    """Those of the competitor with the largest median."""
    return max(rates.values(), key=statistics.median)


def ratio(ours: list[float], theirs: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3)


def median(values: list[float]) -> float:
    return round(statistics.median(values), 3)


def failures(committed: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A line for every ratio that fell by more than a tenth, or that is gone, and for every limit that is passed."""
    lines = []
    for name, was in committed.get("ratios", {}).items():
        value = now["ratios"].get(name)
        if value is None or value < TOLERATED * was:
            lines.append(f"{now['part']}: {name}: {value} now, {was} committed")
    for name, limit in now.get("limits", {}).items():
        if now[name] > limit:
            lines.append(f"{now['part']}: {name}: {now[name]} now, the limit is {limit}")
    return lines


if __name__ == "__main__":
    main()
