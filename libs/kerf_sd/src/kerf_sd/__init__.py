"""Loading Stable Diffusion folders and LoRAs."""
