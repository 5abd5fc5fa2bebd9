"""Convolution and its transpose over time, height and width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from caffe.engine.catalogue import register
from caffe.engine.layer import Array, Context, ParameterSpec, Shape, Tensors
from caffe.engine.layers.convolution import (
    BaseConvolution,
    ConvolutionLayer,
    DeconvolutionLayer,
    Window,
)
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError
from caffe.proto import caffe_pb2

_AXES = 5


def _single(options: Any, name: str, default: int | None = None) -> int:
    """Read an option of C3D 1.1, or the only value of one of today's."""
    values = getattr(options, name)
    if isinstance(values, int):
        values = [values] if options.HasField(name) else []
    if len(values) > 1 or (default is None and not values):
        raise CheckError(f"{name} has {len(values)} values: expected 1")
    return int(values[0]) if values else int(default or 0)


class _Filter3D(BaseConvolution):
    """What both directions have of C3D: options, and a bias of five axes."""

    @classmethod
    def read(cls, param: Any) -> Any:
        """Write the options as today's convolution has them."""
        given = param.convolution_param
        if param.HasField("convolution3d_param"):
            given = param.convolution3d_param
        if not given.kernel_depth:
            raise CheckError("kernel_depth is 0: expected a number above 0")
        size, stride = _single(given, "kernel_size"), _single(given, "stride", 1)
        pad = _single(given, "pad", 0)
        return caffe_pb2.ConvolutionParameter(
            num_output=given.num_output,
            bias_term=given.bias_term,
            group=given.filter_group,
            kernel_size=[given.kernel_depth, size, size],
            stride=[given.temporal_stride, stride, stride],
            pad=[given.temporal_pad, pad, pad],
            weight_filler=given.weight_filler,
            bias_filler=given.bias_filler,
        )

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Give the bias the shape that it has in C3D's files."""
        weight, *bias = super().parameters(bottom_shapes)
        shape = (1, 1, 1, 1, self.num_output)
        return [weight, *(ParameterSpec(shape, spec.filler) for spec in bias)]

    def window(self, ndim: int) -> Window:
        """Refuse what is no video."""
        if ndim != _AXES:
            raise CheckError(f"bottom 0 has {ndim} axes: expected 5 axes")
        return super().window(ndim)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Filter, with the bias as a vector."""
        weight, *bias = params
        vectors = [values.reshape(-1) for values in bias]
        return super().forward(bottoms, [weight, *vectors], context)

    def forward_rectified(
        self, bottom: torch.Tensor, params: Tensors, context: Context, slope: float
    ) -> torch.Tensor:
        """Filter, then rectify."""
        (top,) = self.forward([bottom], params, context)
        return torch.nn.functional.leaky_relu(top, slope)

    def to_torch_blobs(self, blobs: Sequence[Array]) -> list[Array]:
        """Give the bias as a vector."""
        weight, *bias = blobs
        return [weight, *(values.reshape(-1) for values in bias)]

    def to_bvlc(self, layer: TorchLayer) -> Iterator[tuple[Any, Sequence[Array]]]:
        """Call it what BVLC calls it."""
        message = layer.message()
        message.type = "Deconvolution" if self.transposed else "Convolution"
        message.ClearField("convolution3d_param")
        message.convolution_param.CopyFrom(self.options)
        yield message, self.to_torch_blobs(layer.blobs)


@register("Convolution3D")
class Convolution3DLayer(_Filter3D, ConvolutionLayer):
    """Convolution over time, height and width (C3D).

    Options (``convolution3d_param``; C3D 1.0: ``convolution_param``)
        num_output : int. ``bias_term`` : bool, default true.
        kernel_size, stride, pad : int, default -, 1, 0. Of height and width.
        kernel_depth, temporal_stride, temporal_pad : int, default -, 1, 0. Of time.
        filter_group : int, default 1. Groups of channels; ``group`` has no effect.
        weight_filler, bias_filler : FillerParameter, default constant 0.

    Bottoms and tops
        (N, C, T, Y, X) to (N, num_output, ...), with the sizes of a convolution.

    Blobs
        0 : (num_output, C / filter_group, T, Y, X), 1 : (1, 1, 1, 1, num_output)
    """

    rectifies = False


@register("Deconvolution3D")
class Deconvolution3DLayer(_Filter3D, DeconvolutionLayer):
    """Transpose of `Convolution3DLayer`, with its options (C3D).

    Blobs
        0 : (C, num_output / filter_group, T, Y, X), 1 : (1, 1, 1, 1, num_output)
    """
