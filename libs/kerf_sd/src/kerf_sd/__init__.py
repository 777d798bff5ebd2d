"""Loading Stable Diffusion folders and LoRAs.

`models.load_model` loads a folder, `loras.LoraMixer` mixes LoRAs into it, `schedulers.make_scheduler` makes samplers,
`vocabulary` says what a model makes of a prompt's words.
"""

from transformers.utils import logging

# Already while it is imported it gives hints about packages that kerf does not use, past the structured log.
logging.set_verbosity_error()
