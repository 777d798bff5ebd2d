"""The drawn world: laser art of many kinds, styles and compositions, with captions, controls and masks, from seeds."""
