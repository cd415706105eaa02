"""The parts of benchmarks/gpu.py that time steps: against PyTorch, in other forms, and what memory they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpu_session import DETERMINISTIC, OURS, PRECISIONS, TORCH, TORCH_COMPILED, XLA, Session, Variants
from run import best, ratio

from tf_spot.ops import hardware

STAGES = ("spotter", "autoencoder", "backbone")
# Of ops/hardware.py, in the process of the step as it is, and compiled by XLA, which has no gradient of TensorFlow's
# resizing in bfloat16.
CHANGED_FORMS = ("mask_apart", "upsample_by_products", "stem_of_blocks", "groups_at_once", "kernel_before_upsampling",
                 "own_gradients", "shifted_maps")  # fmt: skip
COMPILED = {"jit_compile": True, "shifted_maps": True}


def steps(stage: str) -> Callable[[Session], dict[str, Any]]:
    """Return the part that compares the step of a stage with PyTorch's, and with the limits of the card."""

    def part(session: Session) -> dict[str, Any]:
        found = session.turns(variants_of(stage) | limits())
        rates, runs, said = found["images_per_second"], found["runs"], found["variants"]
        return found | {"ratios": ratios(runs), "used": used(rates, said, session.options.batch)}

    return part


def variants_of(stage: str) -> Variants:
    """Return the variants of a step, what matters most first."""
    variants: Variants = {}
    for precision in PRECISIONS:
        of_ours, of_torch = ({"stage": stage, "precision": precision} for _ in range(2))
        variants[f"ours, {precision}"] = (OURS, of_ours)
        variants[f"ours, {precision}, XLA"] = (XLA[precision], of_ours | {"form": COMPILED})
        for name, layout in {", channels last": True, "": False}.items():
            described = of_torch | {"channels_last": layout, "compiled": False}
            variants[f"torch, {precision}{name}"] = (TORCH, described)
        compiled = {"channels_last": True, "compiled": True}
        variants[f"torch, {precision}, channels last, compiled"] = (TORCH_COMPILED[precision], of_torch | compiled)
        variants[f"ours, {precision}, deterministic"] = (DETERMINISTIC, of_ours)
        variants[f"ours, {precision}, XLA, deterministic"] = (DETERMINISTIC, of_ours | {"form": COMPILED})
    return variants


def everything(names: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return all variants of the steps among these parts, in the order in which they should be prepared.

    Every stage in bfloat16, then every one in float32; what is measured beside them, last.
    """
    of_stages = [variants_of(stage) for stage in STAGES if stage in names]
    steps = [
        variant
        for precision in PRECISIONS
        for variants in of_stages
        for name, variant in variants.items()
        if f", {precision}" in name
    ]
    steps.sort(key=lambda variant: variant[0] == DETERMINISTIC and "form" in variant[1])
    return [*limits().values(), *steps] if steps else []


def limits() -> Variants:
    """Return the largest matrix product, and a copy of memory: what the card can do."""
    variants: Variants = {f"product, {p}": (OURS, {"stage": "product", "precision": p}) for p in PRECISIONS}
    return variants | {"copy": (OURS, {"stage": "copy", "precision": "float32"})}


def ratios(runs: dict[str, list[float]]) -> dict[str, float]:
    """Return our best over PyTorch's best in each precision, and what XLA gives and determinism costs."""
    found = {}
    for precision in PRECISIONS:
        ours = {name: rates for name, rates in runs.items() if name.startswith(f"ours, {precision}")}
        free = {name: rates for name, rates in ours.items() if "deterministic" not in name}
        torch = {name: rates for name, rates in runs.items() if name.startswith(f"torch, {precision}")}
        plain = ours.get(f"ours, {precision}")
        if free and torch:
            found[f"ours, {precision} / torch, {precision}"] = ratio(best(free), best(torch))
        for change in ("XLA", "deterministic"):
            if plain and f"ours, {precision}, {change}" in ours:
                found[f"{precision}: {change} / without"] = ratio(ours[f"ours, {precision}, {change}"], plain)
    return found


def used(rates: dict[str, float], said: dict[str, dict[str, Any]], batch: int) -> dict[str, dict[str, float]]:
    """Return the share of the card's matrix rate and bandwidth that our uncompiled steps use.

    The bytes are those that the operations of the graph read and write, see `count_flops.traffic`.
    """
    shares = {}
    for precision in PRECISIONS:
        name, product = f"ours, {precision}", f"product, {precision}"
        if not {name, product, "copy"} <= set(rates):
            continue
        per_second = {key: rates[name] / batch * said[name][key] for key in ("gflop", "gigabytes")}
        shares[name] = {
            "matrix rate": round(per_second["gflop"] / (rates[product] * said[product]["gflop"]), 4),
            "bandwidth": round(per_second["gigabytes"] / (rates["copy"] * said["copy"]["gigabytes"]), 4),
        }
    return shares


def forms(session: Session) -> dict[str, Any]:
    """Compare other forms of the adversarial step with that of a GPU, one by one."""
    usual = {"stage": "spotter", "precision": "bfloat16"}
    variants: Variants = {"usual": (OURS, usual)}
    for name in CHANGED_FORMS:
        changed = not getattr(hardware.GPU, name)
        variants[f"{name}={changed}"] = (OURS, usual | {"form": {name: changed}})
    found = session.turns(variants)
    runs = found["runs"]
    return found | {"ratios": {name: ratio(runs[name], runs["usual"]) for name in runs if name != "usual"}}


def memory(session: Session) -> dict[str, Any]:
    """Measure what a step takes of the card's memory, by preset and batch."""
    variants: Variants = {}
    for name, precision, batch in (
        (name, precision, batch) for name in ("stl10", "gpu") for precision in PRECISIONS for batch in (64, 256)
    ):
        described = {"stage": "spotter", "precision": precision, "preset": name, "batch": batch}
        variants[f"{name}, {precision}, batch {batch}"] = (OURS, described)
    if session.options.dry_run:
        variants = {"tiny": (OURS, {"stage": "spotter", "precision": "float32", "preset": "tiny", "batch": 4})}
    found = session.turns(variants)
    return found | {"peak_mib": {name: said.get("peak_mib") for name, said in found["variants"].items()}}
