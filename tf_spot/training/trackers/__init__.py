"""Experiment trackers that record a training through Keras callbacks of their own."""
