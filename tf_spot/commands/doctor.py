"""`tf-spot doctor`: what is there, and what is missing for which extra."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from tf_spot import __version__
from tf_spot.commands.shared_options import DONE, FAILED, Subcommands, add_subcommand
from tf_spot.storage.provenance import version_of

CORE = ("tensorflow", "keras", "numpy", "scikit-learn", "scikit-image", "tensorflow-datasets")

EXTRA = re.compile(r'extra == "([^"]+)"')  # how `packaging` writes it, whatever the quotes were


def add(subcommands: Subcommands) -> None:
    parser = add_subcommand(
        subcommands, "doctor", run, "tell versions, devices, free disk, and what is missing for which extra"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path(), help="where runs will be written (here)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    found = examine(options.out)
    print(format_findings(found))
    return found, FAILED if found["problems"] else DONE


def examine(folder: str | Path = ".") -> dict[str, Any]:
    """Looks around; nothing is changed.

    Args:
        folder: where runs are to be written, whose free disk is told.

    Returns:
        "python", "platform", "versions" {package: version or None}, "cpu_cores" (those this process may use),
        "memory_gib", "devices" (TensorFlow's, by type), "bfloat16" (what computes in it fast),
        "disk_free_gib", "extras" {extra: {"missing": [packages], "install": command or None}}, "problems" [lines].
    """
    extras = {name: _extra(name, packages) for name, packages in extras_of("tf-spot").items()}
    versions = {name: version_of(name) for name in CORE}
    found: dict[str, Any] = {
        "tf_spot": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "cpu_cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "disk_free_gib": round(shutil.disk_usage(_existing(Path(folder))).free / 2**30, 1),
        "extras": extras,
    }
    found["problems"] = [f"{name} is not installed: pip install tf-spot" for name, has in versions.items() if not has]
    if versions["tensorflow"] and versions["keras"]:
        found |= _devices()
    if found["disk_free_gib"] < 1:
        found["problems"].append(f"less than 1 GiB is free in {folder}: a run needs some hundred MiB a checkpoint")
    return found


def _devices() -> dict[str, Any]:
    import tensorflow as tf

    from tf_spot.ops.cpu_features import processor_flags

    physical = tf.config.list_physical_devices()
    devices = {kind: sum(device.device_type == kind for device in physical) for kind in ("CPU", "GPU", "TPU")}
    gpus = [tf.config.experimental.get_device_details(device) for device in physical if device.device_type == "GPU"]
    fast = [gpu.get("device_name", "GPU") for gpu in gpus if gpu.get("compute_capability", (0,))[0] >= 8]
    fast += sorted({"avx512_bf16", "amx_bf16", "bf16"} & processor_flags())
    return {"devices": devices, "bfloat16": fast}


def extras_of(distribution: str) -> dict[str, list[str]]:
    """{extra: packages that it asks for} of an installed distribution; {} if it is not installed."""
    try:
        requirements = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {}
    for requirement in map(Requirement, requirements):
        if requirement.marker is None:
            continue
        for extra in EXTRA.findall(str(requirement.marker)):
            found.setdefault(extra, []).append(requirement.name)
    return found


def _extra(name: str, packages: list[str]) -> dict[str, Any]:
    missing = sorted({package for package in packages if version_of(package) is None})
    return {"missing": missing, "install": f"pip install tf-spot[{name}]" if missing else None}


def _existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)


def format_findings(found: dict[str, Any]) -> str:
    """The findings as text."""
    rows = {name.replace("_", " "): found[name] for name in ("tf_spot", "python", "platform") if name in found}
    rows |= {name: version or "not installed" for name, version in found["versions"].items()}
    rows |= {"CPU cores": found["cpu_cores"], "memory": f"{found['memory_gib']} GiB"}
    if "devices" in found:
        devices = [f"{count} {kind}" for kind, count in found["devices"].items() if count]
        rows |= {
            "devices": ", ".join(devices),
            "fast bfloat16": ", ".join(found["bfloat16"]) or "none: slower than float32",
        }
    rows["free disk"] = f"{found['disk_free_gib']} GiB"
    for name, extra in found["extras"].items():
        told = (
            f"missing {', '.join(extra['missing'])}; install with: {extra['install']}" if extra["missing"] else "ready"
        )
        rows[f"extra {name}"] = told
    lines = [f"{name:22} {value}" for name, value in rows.items()]
    return "\n".join(lines + [f"problem: {text}" for text in found["problems"]])
