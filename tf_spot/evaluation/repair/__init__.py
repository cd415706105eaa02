"""How well a run's repair network hides the damage."""
