"""The Python SDK of kerf and its command line."""
