"""`--mode predict`: a table of the labels of pictures, written as they are found. `mode.py` runs it."""
