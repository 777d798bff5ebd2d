"""Safe decoding of pictures, with limits."""
