"""Trains LoRAs for Stable Diffusion."""
