"""Loading Stable Diffusion folders and LoRAs, and choosing where they compute.

`models.load_model` loads a folder, `loras.LoraMixer` mixes LoRAs into it, `schedulers.make_scheduler` makes samplers,
`devices.choose_compute` picks device and precision, `vocabulary` says what a model makes of a prompt's words.
"""
