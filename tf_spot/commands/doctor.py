"""`tf-spot doctor`: print versions, devices and free disk, and what is missing for each extra."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tf_spot import __version__
from tf_spot.commands.shared_options import DONE, FAILED, Subcommands, add_subcommand
from tf_spot.storage.provenance import version_of

CORE = ("tensorflow", "keras", "numpy", "scikit-learn", "scikit-image", "tensorflow-datasets")
# Flags of processors that compute in bfloat16 fast; a GPU does from compute capability 8 (Ampere) on.
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
BFLOAT16_CAPABILITY = 8
DRIVER = Path("/proc/driver/nvidia/version")  # there on Linux while NVIDIA's driver is loaded
EXTRA = re.compile(r'extra == "([^"]+)"')  # as `packaging` writes a marker, with double quotes always


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(
        subcommands, "doctor", run, "print versions, devices, free disk, and what is missing for each extra"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path(), help="where runs will be written (here)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    findings = examine(options.out)
    print(format_findings(findings))
    return findings, FAILED if findings["problems"] else DONE


def examine(folder: str | Path = ".") -> dict[str, Any]:
    """Examine this installation and machine; nothing is changed.

    Args:
        folder: where runs are to be written, whose free disk is measured.

    Returns:
        "python", "platform", "versions" {package: version or None}, "cpu_cores" (those this process may use),
        "memory_gib", "devices" (TensorFlow's, by type), "gpus" (their names), "bfloat16" (devices that compute in it
        fast), "disk_free_gib", "extras" {extra: {"missing": [packages], "install": command or None}}, "problems"
        [lines].
    """
    versions = {name: version_of(name) for name in CORE}
    findings: dict[str, Any] = {
        "tf_spot": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "cpu_cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "disk_free_gib": round(shutil.disk_usage(_nearest_existing(Path(folder))).free / 2**30, 1),
        "extras": {name: examine_extra(name, packages) for name, packages in extras_of("tf-spot").items()},
    }
    problems = [f"{name} is not installed: pip install tf-spot" for name, version in versions.items() if not version]
    if findings["disk_free_gib"] < 1:
        problems.append(f"less than 1 GiB is free in {folder}: a run needs some hundred MiB per checkpoint")
    if versions["tensorflow"] and versions["keras"]:
        findings |= _devices()
        problems += _unseen_gpu(findings["devices"]["GPU"])
    return findings | {"problems": problems}


def _unseen_gpu(seen: int) -> list[str]:
    """Return the problem of a GPU that is there and that TensorFlow does not see."""
    if seen or not DRIVER.is_file() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return []
    return ["NVIDIA's driver is loaded, but TensorFlow sees no GPU: pip install tf-spot[gpu]"]


def _devices() -> dict[str, Any]:
    """Return "devices", "gpus" and "bfloat16" of `examine`."""
    import tensorflow as tf

    from tf_spot.ops.hardware import processor_flags

    physical = tf.config.list_physical_devices()
    devices = {kind: sum(device.device_type == kind for device in physical) for kind in ("CPU", "GPU", "TPU")}
    gpus = [tf.config.experimental.get_device_details(device) for device in physical if device.device_type == "GPU"]
    names = [gpu.get("device_name", "GPU") for gpu in gpus]
    able = [gpu.get("compute_capability", (0,))[0] >= BFLOAT16_CAPABILITY for gpu in gpus]
    fast = [name for name, is_able in zip(names, able, strict=True) if is_able]
    return {"devices": devices, "gpus": names, "bfloat16": fast + sorted(BFLOAT16_FLAGS & processor_flags())}


def extras_of(distribution: str) -> dict[str, list[str]]:
    """Return {extra: required packages} of an installed distribution; {} if it is not installed.

    Where a package is asked for with an extra of its own, as in `tensorflow[and-cuda]`, what that needs counts too.
    """
    # Imported here: both together take a sixth of the time of `tf-spot --help`.
    import importlib.metadata

    from packaging.requirements import Requirement

    try:
        requirements = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    extras: dict[str, list[str]] = {}
    for requirement in map(Requirement, requirements):
        for extra in EXTRA.findall(str(requirement.marker)):  # "None" without a marker
            needed = extras.setdefault(extra, [])
            needed.append(requirement.name)
            # `tensorflow[and-cuda]` is there only with what that extra of its own asks for.
            inner = extras_of(requirement.name) if requirement.extras else {}
            needed += [name for asked in sorted(requirement.extras) for name in inner.get(asked, [])]
    return extras


def examine_extra(name: str, packages: Iterable[str]) -> dict[str, Any]:
    """Return the packages that an extra lacks, and the command that installs them (None if nothing is missing)."""
    missing = sorted({package for package in packages if version_of(package) is None})
    return {"missing": missing, "install": f"pip install tf-spot[{name}]" if missing else None}


def _nearest_existing(path: Path) -> Path:
    """Return `path`, or the nearest folder above it that exists."""
    path = path.absolute()
    return path if path.exists() else _nearest_existing(path.parent)


def format_findings(findings: Mapping[str, Any]) -> str:
    """Return what `examine` found as text, one line each."""
    rows = {name.replace("_", " "): findings[name] for name in ("tf_spot", "python", "platform") if name in findings}
    rows |= {name: version or "not installed" for name, version in findings["versions"].items()}
    rows |= {"CPU cores": findings["cpu_cores"], "memory": f"{findings['memory_gib']} GiB"}
    if "devices" in findings:
        rows |= {f"GPU {number}": name for number, name in enumerate(findings["gpus"])}
        rows["devices"] = ", ".join(f"{count} {kind}" for kind, count in findings["devices"].items() if count)
        rows["fast bfloat16"] = ", ".join(findings["bfloat16"]) or "none: slower than float32"
    rows["free disk"] = f"{findings['disk_free_gib']} GiB"
    rows |= {f"extra {name}": _format_extra(extra) for name, extra in findings["extras"].items()}
    lines = [f"{name:22} {value}" for name, value in rows.items()]
    return "\n".join(lines + [f"problem: {text}" for text in findings["problems"]])


def _format_extra(extra: Mapping[str, Any]) -> str:
    if not extra["missing"]:
        return "ready"
    return f"missing {', '.join(extra['missing'])}; install with: {extra['install']}"
