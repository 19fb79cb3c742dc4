"""Is a set-up able to learn at all? `mode.py` runs the checks."""
