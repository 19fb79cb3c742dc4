"""Evaluates checkpoints on a split, and predicts labels of image files."""
