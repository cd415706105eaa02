"""What frozen features are worth: probes on their layers, beside rivals that learned nothing or something else."""

from tf_spot.evaluation.comparison import TASKS, evaluate_task, format_table
from tf_spot.evaluation.probes import knn_probe, linear_probe

__all__ = ["TASKS", "evaluate_task", "format_table", "knn_probe", "linear_probe"]
