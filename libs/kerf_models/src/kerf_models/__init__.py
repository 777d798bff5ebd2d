"""Where model files are, whether they are whole and safe, and on which device they compute."""
