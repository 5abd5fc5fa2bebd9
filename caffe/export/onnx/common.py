"""Inner products, tables of vectors, and dropout."""

from __future__ import annotations

from caffe.export.onnx.graph import Value, no_counterpart
from caffe.export.onnx.layer import Layer, translates
from caffe.proto import caffe_pb2


@translates("InnerProduct")
def inner_product(layer: Layer) -> list[Value]:
    """Give Gemm of the flattened bottom."""
    x = layer.bottom
    axis = layer.param.inner_product_param.axis % len(x.shape)
    x.fixed(range(axis, len(x.shape)))
    flat = (
        x.name if (len(x.shape), axis) == (2, 1) else layer.add("Flatten", x, axis=axis)
    )
    weights = [layer.blob(index) for index in range(len(layer.blobs))]
    name = layer.add("Gemm", flat, *weights, transB=int(not layer.op.transpose))
    pattern = (*x.pattern[:axis], None)
    if axis != 1:
        free = [i for i, kind in enumerate(x.pattern[:axis]) if kind is not None]
        x.fixed(free[1:])
        sizes = [-1 if i in free else n for i, n in enumerate(layer.top_shapes[0])]
        name = layer.reshaped(name, sizes)
    return [layer.top(name, pattern)]


@translates("Embed")
def embed(layer: Layer) -> list[Value]:
    """Give Gather from the table, and Add of the bias."""
    name = layer.add("Gather", layer.blob(0), layer.to_int(layer.bottom), axis=0)
    if len(layer.blobs) > 1:
        name = layer.add("Add", name, layer.blob(1))
    return [layer.top(name, (*layer.bottom.pattern, None))]


@translates("Dropout")
def dropout(layer: Layer) -> list[Value]:
    """Give the bottom, as in phase TEST."""
    if layer.param.phase == caffe_pb2.TRAIN:
        raise no_counterpart("its phase is TRAIN: it drops at random")
    return [layer.bottom]
