"""Makes pictures fit for a laser and writes safe machine files."""
