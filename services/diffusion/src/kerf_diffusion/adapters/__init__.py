"""How pictures are really drawn: diffusers on torch."""
