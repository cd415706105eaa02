"""Tables of several trainings: ablation, comparison, search."""
