"""What frozen features are worth: probes on their layers, beside controls that learned nothing or something else.

The names below are loaded when first used, so that the command line can read the list of tasks without TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tf_spot.lazy import submodule

if TYPE_CHECKING:
    from tf_spot.evaluation.beside_controls import evaluate_task
    from tf_spot.evaluation.probes.held_out import held_out_probe
    from tf_spot.evaluation.probes.probe import knn_probe, linear_probe
    from tf_spot.evaluation.result_table import format_table

_HOMES = {
    "evaluate_task": "beside_controls",
    "format_table": "result_table",
    "held_out_probe": "probes.held_out",
    "knn_probe": "probes.probe",
    "linear_probe": "probes.probe",
}

__all__ = ["evaluate_task", "format_table", "held_out_probe", "knn_probe", "linear_probe"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        return submodule("tf_spot.evaluation", name)
    return getattr(importlib.import_module(f"tf_spot.evaluation.{_HOMES[name]}"), name)
