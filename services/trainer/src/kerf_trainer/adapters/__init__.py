"""torch, diffusers and peft; and where datasets come from."""
