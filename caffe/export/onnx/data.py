"""Layers that bring data into the net."""

from __future__ import annotations

from caffe.export.onnx.graph import BATCH, SPATIAL, Pattern, Value, no_counterpart
from caffe.export.onnx.layer import Layer, translates

_FIRST_SPATIAL_AXIS = 2


@translates("Input")
def inputs(layer: Layer) -> list[Value]:
    """Give inputs of the graph: samples along axis 0, space behind the channels."""
    tops = []
    for name, shape in zip(layer.tops, layer.top_shapes, strict=True):
        kinds: Pattern = (
            (BATCH, None, *[SPATIAL] * (len(shape) - _FIRST_SPATIAL_AXIS))
            if len(shape) >= _FIRST_SPATIAL_AXIS
            else (BATCH,) * len(shape)
        )
        pattern = tuple(kind if kind in layer.dynamic else None for kind in kinds)
        tops.append(layer.graph_input(name, shape, pattern))
    return tops


@translates("DummyData")
def dummy_data(layer: Layer) -> list[Value]:
    """Give constants, or inputs of the graph in their place."""
    fillers = layer.param.dummy_data_param.data_filler
    if any(filler.type != "constant" for filler in fillers):
        raise no_counterpart("random numbers")
    if not layer.constant_data:
        return [
            layer.graph_input(name, shape, (None,) * len(shape))
            for name, shape in zip(layer.tops, layer.top_shapes, strict=True)
        ]
    return [
        Value(layer.floats(blob.values(), name), blob.shape, (None,) * len(blob.shape))
        for name, blob in zip(layer.tops, layer.top_blobs, strict=True)
    ]
