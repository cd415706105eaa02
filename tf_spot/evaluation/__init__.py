"""What frozen features are worth: probes on their layers, beside rivals that learned nothing or something else."""

from tf_spot.evaluation.beside_controls import TASKS, evaluate_task, format_table
from tf_spot.evaluation.probes.held_out import held_out_probe
from tf_spot.evaluation.probes.probe import knn_probe, linear_probe

__all__ = ["TASKS", "evaluate_task", "format_table", "held_out_probe", "knn_probe", "linear_probe"]
