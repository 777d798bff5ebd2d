"""Draws the starter model's training pictures, trains the model on them and measures what it learned."""
