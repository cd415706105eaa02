"""Which trackers there are, and what is said of one that is not."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tests.support.tracker_stand_ins import Mlflow, Wandb
from tf_spot.config import TRACKERS
from tf_spot.errors import UserError
from tf_spot.training.trackers.choice import check_tracker, open_tracker


def test_no_tracker_is_the_rule() -> None:
    check_tracker(None)
    assert open_tracker(None) is None


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_named_with_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"--tracker {name} needs .*; install it with: pip install tf-spot\[{name}\]"):
        open_tracker(name)


@pytest.mark.parametrize("name", TRACKERS)
def test_a_folder_of_its_name_is_no_package(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B writes a folder `wandb` into the current one."""
    (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UserError, match="none of that name is installed"):
        check_tracker(name)


def test_another_name_lists_those_there_are() -> None:
    with pytest.raises(UserError, match="--tracker must be wandb or mlflow; received: comet"):
        check_tracker("comet")


def test_each_is_opened_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Wandb(monkeypatch)
    Mlflow(monkeypatch)
    opened = [open_tracker(name) for name in TRACKERS]
    assert [tracker.name for tracker in opened if tracker] == list(TRACKERS)
