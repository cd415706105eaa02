"""Which commit is compared, with which script, and which ratio fails."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPARE = runpy.run_path(str(ROOT / "benchmarks" / "compare_commits.py"))


def test_a_step_that_is_slower_than_tolerated_is_named() -> None:
    assert COMPARE["slower"]({"spotter, float32": 0.96, "backbone, float32": 0.94}) == [
        "backbone, float32: slower, 0.940 of before"
    ]


def test_the_step_is_found_under_its_former_name(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    with pytest.raises(SystemExit, match="no script that times a step"):
        COMPARE["step_script"](tmp_path)
    (tmp_path / "benchmarks" / "step.py").touch()
    assert COMPARE["step_script"](tmp_path).name == "step.py"
    assert COMPARE["step_script"](ROOT).name == "training_step.py"


def test_a_name_that_is_no_commit_is_refused() -> None:
    with pytest.raises(SystemExit, match="must be a commit of this repository; received: no-such-commit"):
        with COMPARE["checked_out"]("no-such-commit"):
            pass


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_the_checkout_is_gone_afterwards() -> None:
    with COMPARE["checked_out"]("HEAD") as (commit, tree):
        assert len(commit) == 40 and (tree / "setup.cfg").is_file()
    listed = subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not tree.exists() and str(tree) not in listed
