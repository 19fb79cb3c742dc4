"""`--mode serve`: a page to drop pictures on, and the same as JSON. `mode.py` runs it."""
