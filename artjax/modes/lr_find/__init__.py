"""Which learning rate? `mode.py` runs the range test."""
