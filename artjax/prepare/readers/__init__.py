"""A collection's own lists, catalogues and folders, read as a `Catalogue`; no picture is opened."""
