"""The training of a run: both stages, recorded and resumable."""
