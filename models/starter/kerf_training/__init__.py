"""Trains the next starter models on the whole drawn world; nothing of it is shipped yet."""
