"""A page about a collection, before a network is trained on it. `mode.py` writes it."""
