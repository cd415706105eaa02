"""Record what a result was made with: the command, the commit, package versions, the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

_PACKAGES = ("tensorflow", "keras", "numpy", "h5py", "pillow", "scikit-learn", "scikit-image")


def versions() -> dict[str, Any]:
    """Return commit, package versions, Python and machine, as RUN/versions.json has them."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed_since_commit": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "packages": {name: version_of(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "command": sys.argv,
    }


def provenance(command: str | None = None) -> dict[str, Any]:
    """Return the command, the commit, versions and machine, as result files have them.

    Args:
        command: as it is typed; by default that of the running `tf-spot`.
    """
    now = versions()
    return {
        "command": command or shlex.join(["tf-spot", *sys.argv[1:]]),
        "commit": now["commit"],
        "changed_since_commit": now["changed_since_commit"],
        "versions": now["packages"] | {"python": now["python"]},
        "machine": {"platform": now["platform"], "cpus": now["cpus"]},
    }


def version_of(package: str) -> str | None:
    """Return the installed version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Return the output of git in the checkout that holds this package; None outside a checkout or without git."""
    home = Path(__file__).resolve().parents[2]
    if not (home / ".git").exists():  # installed: git would answer for whatever repository lies around site-packages
        return None
    try:
        done = subprocess.run(["git", "-C", str(home), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
