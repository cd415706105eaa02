"""Generate the tables of README and docs from the files in results/: python studies/tables.py"""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_spot.evaluation import format_table  # noqa: E402
from tf_spot.evaluation.published import TABLES, format_paper_table, format_published, table_3  # noqa: E402
from tf_spot.evaluation.published_works import WORKS  # noqa: E402
from tf_spot.experiments.ablation import format_ablation  # noqa: E402
from tf_spot.experiments.comparison import format_comparison  # noqa: E402
from tf_spot.experiments.tuning import format_search  # noqa: E402

MARK = re.compile(r"<!-- table: (\S+) -->\n(?:\n```text\n.*?\n```\n)*", re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def render(text: str) -> str:
    """Return `text` with the tables of the named files after every mark."""

    def marked(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n" + "".join(f"\n```text\n{table}\n```\n" for table in tables(match[1]))

    return MARK.sub(marked, text)


def tables(name: str) -> list[str]:
    """Return the tables of a mark: a file, the files that match a pattern, or one of `PUBLISHED`."""
    if name in PUBLISHED:
        return [PUBLISHED[name]()]
    files = sorted(ROOT.glob(name)) if "*" in name else [ROOT / name]
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [_format(result["task"])(result) for result in results]


def _format(task: str) -> Callable[[dict[str, Any]], str]:
    """Return one of `FORMATS`, else the function `table` of the script in studies/ that is named after the task."""
    return (
        FORMATS[task]
        if task in FORMATS
        else runpy.run_path(str(ROOT / "studies" / f"{task.replace('-', '_')}.py"))["table"]
    )


def format_mask_head(result: dict[str, Any]) -> str:
    """Return a line per run: recipe, AUC after a tenth, a half and all of its steps, probe."""
    layers = "  ".join(f"conv{number}" for number in range(1, 6))
    lines = ["drop  filler  mask loss of   repair      AUC after                  linear probe"]
    lines.append(f"rate          the repair     rate         10 %   50 %  100 %   {layers}")
    for run in result["runs"]:
        recipe, curve = run["recipe"], run["curve"]
        shown = (recipe["game.drop_rate"], recipe["game.fill"], "yes" if recipe["game.repair_mask_loss"] else "no",
                f"{recipe['training.repair_learning_rate']:g}")  # fmt: skip
        steps = recipe["training.spotter_steps"]
        heads = [min(curve, key=lambda line: abs(line["step"] - share * steps)) for share in (0.1, 0.5, 1.0)]
        aucs = "".join(f"{line['held_out_mask_auc']:7.2f}" for line in heads)
        probe = "".join(f"{value:7.1f}" for value in run["probe"]["by_layer"].values())
        lines.append(f"{shown[0]:<6}{shown[1]:<8}{shown[2]:<15}{shown[3]:<9}{aucs} {probe}")
    errors = ", ".join(f"{run['probe']['stderr']:.1f}" for run in result["runs"])
    return "\n".join([*lines, f"standard errors of the probes: {errors}"])


def format_load(result: dict[str, Any]) -> str:
    """Return what the clients of the load test measured."""
    latency, swapped = result["latency_ms"], result["answered_by_version"]
    return "\n".join([
        f"{result['clients']} clients for {result['seconds']:.0f} s: {result['answered']:,} answers, "
        f"{result['requests_per_second']:.0f} per second; {swapped['1']:,} of version 1, {swapped['2']:,} of version 2",
        f"wrong: {result['wrong']}, lost: {result['lost']}, malformed and refused: {result['malformed_refused']}",
        f"latency: median {latency['p50']:.0f} ms, 99th percentile {latency['p99']:.0f} ms",
        f"memory: {result['memory_mib'][0]:.0f} MiB at the start, {result['peak_memory_mib']:.0f} MiB at the peak",
    ])  # fmt: skip


def format_inference(result: dict[str, Any]) -> str:
    """Return images per second by batch size, and their ratio to PyTorch's better layout."""
    lines = [f"{'batch size':<24}{'1':>12}{'32':>18}"]
    for name, rates in result["images_per_second"].items():
        ratios = result["ratios"].get(name, {})
        cells = (f"{rates[b]:7.1f}/s" + (f" x {ratios[b]:.2f}" if b in ratios else " " * 7) for b in ("1", "32"))
        lines.append(f"{name:<24}{'  '.join(cells)}".rstrip())
    return "\n".join(lines)


def format_own() -> str:
    """Return the paper's own results, two lines each."""
    lines = "\n".join(filter(None, map(format_published, PAPERS))).splitlines()
    return "\n".join(line.replace(": ", ":\n    ", 1) for line in lines)


def format_works() -> str:
    """Return a line per work: its name in the tables, what stands for it here or why nothing does, and its source."""
    stands = {name: work.ours or f"- ({work.reason})" for name, work in WORKS.items()}
    widths = max(map(len, WORKS)), max(map(len, stands.values()))
    return "\n".join(
        f"{name:{widths[0]}}  {stands[name]:{widths[1]}}  {work.reference}: {work.idea}" for name, work in WORKS.items()
    )


PUBLISHED: dict[str, Callable[[], str]] = {  # marks of the paper's results
    "published": format_own,
    "published-works": format_works,
    "published-table-2": lambda: format_paper_table(TABLES["stl10"][0]),
    "published-table-3": lambda: format_paper_table(table_3()),
    "published-table-4": lambda: format_paper_table(TABLES["linear"][0]),
    "published-table-5": lambda: format_paper_table(TABLES["linear"][1]),
}
PAPERS = ("stl10", "linear", "voc-classification", "voc-detection", "voc-segmentation")  # tasks with published results
EVALUATIONS = ("linear", "linear-sgd", "knn", "finetune", "repair", "transfer", "stl10", *PAPERS[2:])
FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {
    **dict.fromkeys(EVALUATIONS, format_table),
    "mask-head": format_mask_head,
    "serving-load": format_load,
    "benchmark-inference": format_inference,
    "ablation": format_ablation,
    "compare": format_comparison,
    "tune": format_search,
}

if __name__ == "__main__":
    for page in PAGES:
        page.write_text(render(page.read_text(encoding="utf-8")), encoding="utf-8")
