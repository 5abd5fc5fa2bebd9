"""What the prototxt of a net says: its layers, and the tiles that it can take."""
