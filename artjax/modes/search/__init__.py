"""Many hyperparameters are tried, and the best on validation is named. `mode.py` runs the search."""
