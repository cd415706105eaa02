"""The measurements for a GPU: ratios, shares, what no time was left for, and every part of our own on the CPU."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


class Told:
    """A contestant that answers at once; `broken` is the stage that it cannot compute."""

    def __init__(self, rate: float, broken: str = "") -> None:
        self.rate, self.broken, self.lines = rate, broken, []

    def ask(self, line: str) -> dict[str, Any]:
        described = json.loads(line)
        self.lines.append(described)
        if described["stage"] == self.broken:
            return {"error": "it does not run here"}
        first = {"first_seconds": 1.0, "gflop": 2.0} if described["seconds"] == 0 else {}
        return first | {"images_per_second": self.rate}


def session_of(module: ModuleType, contestants: dict[str, Told], seconds_left: float = 60.0) -> Any:
    options = argparse.Namespace(rounds=3, seconds=0.1, dry_run=True)
    preparation = module.Preparation(contestants)
    return module.Session(options, contestants, preparation, time.monotonic() + seconds_left, Path(), {})


def test_variants_take_turns_and_those_that_fail_are_named(load: Any) -> None:
    one, other = Told(8.0), Told(4.0, broken="b")
    variants = {name: (who, {"stage": name}) for name, who in {"a": "one", "b": "other", "c": "other"}.items()}
    variants["d"] = ("absent", {"stage": "d"})
    found = session_of(load("gpu_session"), {"one": one, "other": other}).turns(variants)
    assert found["images_per_second"] == {"a": 8.0, "c": 4.0} and found["runs"]["a"] == [8.0] * 3
    assert found["variants"]["a"] == {"first_seconds": 1.0, "gflop": 2.0}
    assert found["missing"] == {"b": "it does not run here"}
    assert len(other.lines) == 2 + 3  # both prepared, then one in three rounds


def test_what_preparing_took_is_told(load: Any) -> None:
    preparation = load("gpu_session").Preparation({"one": Told(8.0, broken="b")})
    preparation.prepare([("one", {"stage": name}) for name in "ab"], time.monotonic() + 60.0)
    assert preparation.told() == {
        "first_seconds": {'one: {"stage": "a"}': 1.0},
        "errors": {'one: {"stage": "b"}': "it does not run here"},
        "busy": [],
    }


def test_without_time_what_is_not_measured_is_named(load: Any) -> None:
    variants = {name: ("one", {"stage": name}) for name in "ab"}
    found = session_of(load("gpu_session"), {"one": Told(8.0)}, seconds_left=-1.0).turns(variants)
    assert found["images_per_second"] == {} and found["missing"] == dict.fromkeys("ab", "no time was left")


def test_a_contestant_that_takes_too_long_does_not_keep_the_others(load: Any) -> None:
    """What was prepared before a part is not prepared again; who still prepares something takes no turn."""
    module, done = load("gpu_session"), threading.Event()

    class Slow(Told):
        def ask(self, line: str) -> dict[str, Any]:
            done.wait(30)
            return super().ask(line)

    contestants = {"one": Told(8.0), "slow": Slow(9.0)}
    session = session_of(module, contestants)
    variants = {"a": ("one", {"stage": "a"}), "b": ("slow", {"stage": "b"})}
    session.preparation.prepare(list(variants.values()), time.monotonic() + 0.2)
    session.end = time.monotonic() - 1.0
    found = session.turns(variants)
    assert found["images_per_second"] == {"a": 8.0}, "it is ready, if no time is left to prepare more"
    assert found["missing"] == {"b": "no time was left"}
    done.set()
    session.end = time.monotonic() + 60.0
    assert session.turns(variants)["images_per_second"] == {"a": 8.0, "b": 9.0}
    assert [line["seconds"] for line in contestants["one"].lines].count(0.0) == 1


def test_a_contestant_whose_process_ends_is_named(load: Any) -> None:
    class Ended(Told):
        def ask(self, line: str) -> dict[str, Any]:
            raise RuntimeError("it ended")

    found = session_of(load("gpu_session"), {"one": Ended(8.0)}).turns({"a": ("one", {"stage": "a"})})
    assert found["missing"] == {"a": "it ended"}


def test_bfloat16_is_prepared_before_float32_and_the_price_of_both_together_last(load: Any) -> None:
    gpu_steps = load("gpu_steps")
    of_ours = [described for who, described in gpu_steps.everything(["spotter", "backbone"]) if who == "ours"]
    assert [(one["stage"], one["precision"]) for one in of_ours[3:]] == [
        (stage, precision) for precision in ("bfloat16", "float32") for stage in ("spotter", "backbone")
    ]
    assert gpu_steps.everything(["spotter"])[-1][1]["form"]["jit_compile"] and gpu_steps.everything(["train"]) == []


def test_our_best_is_compared_with_the_best_of_pytorch_and_determinism_has_a_price(load: Any) -> None:
    runs = {
        "ours, bfloat16": [10.0], "ours, bfloat16, XLA": [12.0], "ours, bfloat16, deterministic": [8.0],
        "ours, bfloat16, XLA, deterministic": [20.0], "torch, bfloat16": [6.0],
        "torch, bfloat16, channels last, compiled": [10.0], "torch, float32": [5.0], "product, bfloat16": [9.0],
    }  # fmt: skip
    assert load("gpu_steps").ratios(runs) == {
        "ours, bfloat16 / torch, bfloat16": 1.2,
        "bfloat16: XLA / without": 1.2,
        "bfloat16: deterministic / without": 0.8,
    }


def test_shares_of_the_card_are_work_per_second_over_what_it_can_do(load: Any) -> None:
    """Two steps of 8 images a second, 3 GFLOP and 0.5 GB each; the card does 60 GFLOP and 4 GB."""
    said = {"ours, bfloat16": {"gflop": 3.0, "gigabytes": 0.5}, "product, bfloat16": {"gflop": 30.0},
            "copy": {"gigabytes": 2.0}}  # fmt: skip
    rates = {"ours, bfloat16": 16.0, "product, bfloat16": 2.0, "copy": 2.0, "ours, float32": 9.0}
    assert load("gpu_steps").used(rates, said, 8) == {"ours, bfloat16": {"matrix rate": 0.1, "bandwidth": 0.25}}


def test_a_training_is_compared_with_its_step(load: Any) -> None:
    known = {"spotter": {"images_per_second": {"ours, bfloat16": 200.0}}}
    trained = {"spotter, shards": 180.0, "autoencoder, shards": 300.0}
    assert load("gpu_commands").shares_of_step(trained, known) == {"spotter, shards / its step": 0.9}


@pytest.mark.parametrize(
    ("device", "name"),
    [("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA A100-SXM4-40GB", "a100"), ("CPU", "cpu"), ("GPU X", "gpu-x")],
)
def test_the_folder_is_named_after_the_card(load: Any, device: str, name: str) -> None:
    assert load("gpu").card(device) == name


def test_pytorch_gets_no_paths_of_ours(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/ours")
    gpu = load("gpu")
    assert "LD_LIBRARY_PATH" not in gpu.environment("torch")
    assert gpu.environment("ours")["LD_LIBRARY_PATH"] == "/ours"


@pytest.mark.slow
def test_every_part_of_ours_runs_small_on_the_cpu(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--dry-run", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert set(found) == {"spotter", "autoencoder", "backbone", "train", "evaluation", "forms", "memory"}
    # Not every CPU has the gradient of a grouped convolution.
    errors = json.loads((tmp_path / "preparation.log").read_text())["errors"]
    assert [name for name in errors if "groups_at_once" not in name] == []
    for part in ("spotter", "autoencoder", "backbone"):
        rates = found[part]["images_per_second"]
        assert len(rates) == 8 + 3 and min(rates.values()) > 0 and found[part]["missing"] == {}
        assert set(found[part]["used"]) == {"ours, bfloat16", "ours, float32"}
    assert set(found["train"]["seconds"]) == {"JPEG files", "shards"} and found["train"]["missing"] == {}
    assert found["evaluation"]["seconds"]["linear"] > 0 and found["spotter"]["dry_run"] is True
    assert set(found["forms"]["ratios"]) >= {"mask_apart=False", "shifted_maps=True"}
    assert set(found["forms"]["missing"]) <= {"groups_at_once=True"}
