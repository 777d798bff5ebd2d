"""Engines and what they need: BLIP on torch, configured text, devices, model folders."""
