"""Run folders, checkpoints, and what they hold."""
