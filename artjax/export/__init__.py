"""A network that leaves artjax: one file for each format, `formats.py` lists them."""
