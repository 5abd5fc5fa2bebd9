"""Where data layers read from: one file a format."""
