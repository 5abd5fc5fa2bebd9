"""Scores of segmentations: the ISBI 2012 metrics, overlap, threshold baselines."""
