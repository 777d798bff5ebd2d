"""Says what pictures show: BLIP captions and measurements."""
