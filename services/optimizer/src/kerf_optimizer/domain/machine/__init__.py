"""What a machine runs and what people see of it: G-code and its linter, DXF, SVG, preview, job sheet.

Writers take a placed work and know nothing of planning; readers know nothing of the writers.
"""
