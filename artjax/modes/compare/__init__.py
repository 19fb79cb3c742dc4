"""`--mode compare`: runs beside each other on the same test works. `mode.py` runs it."""
