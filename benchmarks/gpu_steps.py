"""The parts of benchmarks/gpu.py that time steps: against PyTorch, in other forms, and what memory they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpu_session import DETERMINISTIC, OURS, TORCH, Session, Variants
from run import best, ratio

PRECISIONS = ("bfloat16", "float32")  # float32 is TF32 on a GPU, for both sides
# Of ops/hardware.py, besides XLA: what a GPU does not do yet.
OTHER_FORMS = ("mask_apart", "upsample_by_products", "kernel_before_upsampling", "groups_at_once", "own_gradients")


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
        layouts = {"": {"channels_last": False}, ", channels last": {"channels_last": True}}
        variants[f"ours, {precision}"] = (OURS, of_ours)
        for name, layout in layouts.items():
            variants[f"torch, {precision}{name}"] = (TORCH, of_torch | layout | {"compiled": False})
        compiled = {"channels_last": True, "compiled": True}
        variants[f"torch, {precision}, channels last, compiled"] = (TORCH, of_torch | compiled)
        xla = {"form": {"jit_compile": True}}
        variants[f"ours, {precision}, XLA"] = (OURS, of_ours | xla)
        variants[f"ours, {precision}, deterministic"] = (DETERMINISTIC, of_ours)
        variants[f"ours, {precision}, XLA, deterministic"] = (DETERMINISTIC, of_ours | xla)
    return variants


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
    """Compare the other forms of the adversarial step with that of a GPU, one by one and all together."""
    usual = {"stage": "spotter", "precision": "bfloat16"}
    variants: Variants = {"usual": (OURS, usual)}
    variants |= {name: (OURS, usual | {"form": {name: True}}) for name in OTHER_FORMS}
    variants["all"] = (OURS, usual | {"form": dict.fromkeys(OTHER_FORMS, True)})
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
