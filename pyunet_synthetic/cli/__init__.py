"""The verbs of this package, found by entry point."""
