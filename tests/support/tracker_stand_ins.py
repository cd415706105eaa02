"""Stand-ins for wandb and mlflow: the part of their public interface that `training.trackers` uses, kept in a list.

They are not the packages. tests/test_packaging.py trains with the real ones, in environments of their own.
"""

from __future__ import annotations

import sys
import types
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from typing import Any

import keras
import pytest


def module(name: str, **contents: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    made.__spec__ = ModuleSpec(name, None, origin="stand-in")
    vars(made).update(contents)
    return made


class Wandb:
    """W&B runs by identity, each a dict of `settings`, `config`, `logged`, `exit_codes`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.open: dict[str, Any] | None = None
        self.known = True  # whether a key is
        self.fails = False
        self.module = module("wandb", run=None, init=self._init, log=self._log, login=lambda **_: self.known)
        stand_in = self

        class WandbMetricsLogger(keras.callbacks.Callback):
            def __init__(self) -> None:
                super().__init__()
                if stand_in.open is None:
                    raise RuntimeError("init comes first")

            def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
                stand_in.module.log({f"epoch/{name}": value for name, value in (logs or {}).items()})

        patch.setitem(sys.modules, "wandb", self.module)
        patch.setitem(sys.modules, "wandb.integration", module("wandb.integration"))
        inner = module("wandb.integration.keras", WandbMetricsLogger=WandbMetricsLogger)
        patch.setitem(sys.modules, "wandb.integration.keras", inner)

    def _init(self, **settings: Any) -> Any:
        identity = settings["id"] or f"id{len(self.runs)}"
        self.open = self.runs.setdefault(identity, {"config": {}, "logged": [], "exit_codes": []})
        self.open["settings"] = settings
        update = lambda values, allow_val_change: self.open["config"].update(values)  # type: ignore[index]  # noqa: E731
        return SimpleNamespace(id=identity, config=SimpleNamespace(update=update), finish=self._finish)

    def _log(self, values: dict[str, float]) -> None:
        if self.fails:
            raise ConnectionError("no\nnetwork")
        assert self.open is not None
        self.open["logged"].append(values)

    def _finish(self, exit_code: int) -> None:
        assert self.open is not None
        self.open["exit_codes"].append(exit_code)
        self.open = None


class Mlflow:
    """MLflow runs by identity, each a dict of `name`, `params`, `tags`, `metrics`, `status`, `nested`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.stack: list[str] = []
        stand_in = self

        class MlflowCallback(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
                stand_in.runs[stand_in.stack[-1]]["metrics"].append((epoch, logs))

        patch.setitem(
            sys.modules,
            "mlflow",
            module(
                "mlflow",
                active_run=lambda: self.stack[-1] if self.stack else None,
                start_run=self._start,
                end_run=self._end,
                get_run=lambda identity: SimpleNamespace(data=SimpleNamespace(params=self.runs[identity]["params"])),
                log_params=self._log_params,
                set_tags=lambda tags: self.runs[self.stack[-1]]["tags"].update(tags),
            ),
        )
        patch.setitem(sys.modules, "mlflow.keras", module("mlflow.keras", MlflowCallback=MlflowCallback))

    def _start(self, run_id: str | None = None, run_name: str = "", nested: bool = False) -> Any:
        if self.stack and not nested:
            raise RuntimeError("a run is active")
        identity = run_id or f"id{len(self.runs)}"
        new = {"name": run_name, "params": {}, "tags": {}, "metrics": [], "nested": nested}
        self.runs.setdefault(identity, new)["status"] = "RUNNING"
        self.stack.append(identity)
        return SimpleNamespace(info=SimpleNamespace(run_id=identity))

    def _end(self, status: str) -> None:
        self.runs[self.stack.pop()]["status"] = status

    def _log_params(self, params: dict[str, Any]) -> None:
        recorded = self.runs[self.stack[-1]]["params"]
        for name, value in params.items():
            if recorded.setdefault(name, str(value)) != str(value):
                raise RuntimeError(f"{name} is fixed")
