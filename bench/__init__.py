"""Measurements side by side with peers: `python -m bench.<name> [--json] [--quick] [--keep]`. See README.md."""
