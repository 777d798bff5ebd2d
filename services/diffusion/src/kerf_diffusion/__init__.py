"""Draws pictures from words with Stable Diffusion."""
