"""The layer types for sequences; importing the package enters them all."""

from caffe.dialects.sequences.layers import ctc, lstm, order

__all__ = ["ctc", "lstm", "order"]
