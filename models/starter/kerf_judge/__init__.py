"""The judge of the starter models: names subject and style of a picture, and is used for measuring only."""
