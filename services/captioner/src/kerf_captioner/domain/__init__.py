"""What the captioner knows by itself: requests, wording, the cache, and measurements of pictures."""
