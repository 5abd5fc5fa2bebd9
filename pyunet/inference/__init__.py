"""Segment images of any size with a net of a fixed tile: geometry, tiling, files."""
