"""NVIDIA's BatchNorm, which may have a scale and a bias of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Array,
    Context,
    ParameterSpec,
    Shape,
    Tensors,
)
from caffe.engine.layers.normalization import BatchNormLayer
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.proto import caffe_pb2

_STATISTICS, _WITH_SCALE = 3, 5


@register("BatchNorm")
class ScaledBatchNormLayer(BatchNormLayer):
    """BatchNorm with a learnt scale and bias for each channel behind it.

    Options (``batch_norm_param``)
        As of BVLC's, and
        scale_bias : bool, default whether one of the fillers is given, or the weights
            have five blobs.
        scale_filler, bias_filler : FillerParameter, default constant 1 and 0.

    Bottoms and tops
        (N, C, ...) or (N,), ``scale (x - mean) / sqrt(variance + eps) + bias``.

    Blobs
        0 to 2 : as BVLC's. 3 : (C,), the scale. 4 : (C,), the bias.
    """

    affine = True
    torch_names = (*BatchNormLayer.torch_names, "weight", "bias")

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Ask the options, else how many blobs there are."""
        options = param.batch_norm_param
        if options.HasField("scale_bias"):
            return bool(options.scale_bias)
        fillers = ("scale_filler", "bias_filler")
        return any(map(options.HasField, fillers)) or blobs == _WITH_SCALE

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the statistics, the scale and the bias."""
        statistics = super().parameters(bottom_shapes)
        options, shape = self.param.batch_norm_param, statistics[0].shape
        learnt = [
            ParameterSpec(
                shape,
                getattr(options, name)
                if options.HasField(name)
                else caffe_pb2.FillerParameter(type="constant", value=value),
            )
            for name, value in (("scale_filler", 1), ("bias_filler", 0))
        ]
        return [*statistics, *learnt]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Normalise, scale and shift into new memory."""
        (top,) = super().forward(bottoms, params[:_STATISTICS], context)
        shape = (-1, *[1] * (top.dim() - 2))
        scale, bias = (value.view(shape) for value in params[_STATISTICS:])
        return [top * scale + bias]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Give new memory: the normalised values are kept for the gradient."""
        return self.forward([bottom], params, context)[0]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give the normalisation, then a product and a sum."""
        (top,) = super().to_onnx(layer)
        shape = (-1, *[1] * (len(layer.bottom.shape) - 2))
        scale, bias = (
            layer.floats(layer.values(i).astype(np.float32).reshape(shape), name)
            for i, name in ((3, "weight"), (4, "bias"))
        )
        return [layer.top(layer.add("Add", layer.add("Mul", top, scale), bias))]

    def to_torch_blobs(self, blobs: Sequence[Array]) -> list[Array]:
        """Give the statistics themselves; scale and bias are torch's, too."""
        return [
            *super().to_torch_blobs(blobs[:_STATISTICS]),
            *blobs[_STATISTICS:],
        ]

    def from_torch_blobs(self, arrays: Sequence[Array]) -> list[Array]:
        """Give the sums the weight 1; scale and bias are torch's, too."""
        return [
            *super().from_torch_blobs(arrays[:_STATISTICS]),
            *arrays[_STATISTICS:],
        ]

    def to_bvlc(self, layer: TorchLayer) -> Iterator[tuple[Any, Sequence[Array]]]:
        """Say it as BVLC's BatchNorm and a Scale with a bias in its place."""
        message = layer.message()
        for name in ("scale_bias", "scale_filler", "bias_filler"):
            message.batch_norm_param.ClearField(name)
        yield message, layer.blobs[:_STATISTICS]
        scale = caffe_pb2.LayerParameter(name=f"{layer.name}/scale", type="Scale")
        scale.bottom[:] = scale.top[:] = layer.tops
        scale.scale_param.bias_term = True
        yield scale, layer.blobs[_STATISTICS:]
