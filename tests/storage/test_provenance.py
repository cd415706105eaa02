"""Where a result comes from: command, commit, versions, machine."""

import os
import platform
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tf_spot.storage import provenance as module
from tf_spot.storage.provenance import provenance, version_of, versions

ROOT = Path(__file__).parents[2]


def test_versions_name_the_commit_of_the_checkout():
    commit = versions()["commit"]
    assert commit is None or re.fullmatch("[0-9a-f]{40}", commit)


def test_versions_are_those_that_run():
    now = versions()
    assert now["packages"]["numpy"] == np.__version__
    assert now["python"] == platform.python_version() and now["cpus"] == os.cpu_count()
    assert version_of("no-such-package-anywhere") is None


def test_a_result_has_the_command_as_it_is_typed(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/tf-spot", "evaluate", "my run", "--task", "knn"])
    record = provenance()
    assert record["command"] == "tf-spot evaluate 'my run' --task knn"
    assert provenance("python studies/x.py")["command"] == "python studies/x.py"
    assert set(record) == {"command", "commit", "changed_since_commit", "versions", "machine"}
    assert record["versions"]["python"] == platform.python_version() and record["versions"]["keras"]
    assert record["machine"] == {"platform": platform.platform(), "cpus": os.cpu_count()}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit, in which the package would lie."""
    monkeypatch.setattr(module, "__file__", str(tmp_path / "tf_spot" / "storage" / "provenance.py"))
    (tmp_path / "file.txt").write_text("old")
    settings = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    for words in (["init", "--quiet"], ["add", "file.txt"], [*settings, "commit", "--quiet", "--message", "First"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)
    return tmp_path


def test_changes_since_the_commit_are_recorded_but_not_new_files(checkout):
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    (checkout / "new.txt").write_text("not tracked")
    assert (versions()["commit"], versions()["changed_since_commit"]) == (head.stdout.strip(), False)
    (checkout / "file.txt").write_text("new")
    assert versions()["changed_since_commit"] is True


def test_outside_a_checkout_there_is_no_commit(tmp_path, monkeypatch):
    """An installed package must not take the commit of a repository around site-packages."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    inner = tmp_path / "site-packages" / "tf_spot" / "storage" / "provenance.py"
    monkeypatch.setattr(module, "__file__", str(inner))
    assert (versions()["commit"], versions()["changed_since_commit"]) == (None, False)
