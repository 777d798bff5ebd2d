"""The systems that kerf is measured beside; each lives in an environment of its own."""
