"""The page about a run that has been evaluated: `report/index.html`, its pictures and `summary.json`."""
