"""A layer as the formats by names of layers see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffe.errors import NoCounterpartError
from caffe.proto import caffe_pb2

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One layer of a net in phase TEST.

    Attributes
    ----------
    name, type : str
    param : LayerParameter
        Its options.
    op : Operator
        What computes it.
    bottoms, tops : tuple of str
        Blobs, by the names of the net's text.
    shapes, top_shapes : tuple of tuple of int
        Of the bottoms and of the tops.
    blobs : tuple of ndarray
        Its weights, float32.
    """

    name: str
    type: str
    param: Any
    op: Any
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    shapes: tuple[Shape, ...]
    top_shapes: tuple[Shape, ...]
    blobs: tuple[NDArray[np.float32], ...]

    def message(self) -> Any:
        """Give the options of the layer, without rules and numbers."""
        message = caffe_pb2.LayerParameter()
        message.CopyFrom(self.param)
        for field in ("include", "exclude", "blobs", "phase"):
            message.ClearField(field)
        message.bottom[:] = self.bottoms
        message.top[:] = self.tops
        return message

    def axis(self, axis: int) -> int:
        """Count an axis of the first bottom from the front."""
        return axis % len(self.shapes[0])

    def refuse(self, format_name: str, reason: str) -> NoCounterpartError:
        """Make the error that says why a format cannot say this layer."""
        return NoCounterpartError(
            f"layer '{self.name}' ({self.type}): has no counterpart in {format_name}: "
            f"{reason}"
        )
