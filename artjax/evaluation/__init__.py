"""Exact numbers, and predictions, from a checkpoint."""
