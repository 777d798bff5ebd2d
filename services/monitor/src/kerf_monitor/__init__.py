"""Tells how a node and its GPUs are doing."""
