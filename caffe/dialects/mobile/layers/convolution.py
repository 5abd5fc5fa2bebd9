"""Convolutions of each channel by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from caffe.engine.catalogue import register
from caffe.engine.layer import Array, ParameterSpec, Shape
from caffe.engine.layers.convolution import ConvolutionLayer
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.proto import caffe_pb2


@register("DepthwiseConvolution")
class DepthwiseConvolutionLayer(ConvolutionLayer):
    """Convolution of yonghenglh6, by a kernel of another name.

    Options (``convolution_param``), bottoms, tops and blobs are those of
    `ConvolutionLayer`: the net gives ``num_output`` and ``group``.
    """

    def to_bvlc(self, layer: TorchLayer) -> Iterator[tuple[Any, Sequence[Array]]]:
        """Call it Convolution."""
        message = layer.message()
        message.type = "Convolution"
        yield message, layer.blobs


@register("ConvolutionDepthwise")
class ConvolutionDepthwiseLayer(DepthwiseConvolutionLayer):
    """Convolution with a kernel for each channel, of BVLC's pull request 5665.

    Options (``convolution_param``)
        As of `ConvolutionLayer`, but for ``num_output`` and ``group``, which have no
        effect: both are the channels of the bottom.

    Bottoms and tops
        (N, C, Y, X) to (N, C, ...), with the sizes of a convolution.

    Blobs
        0 : (C, 1, kernel...), 1 : (C,)

    The fork fails where neither stride nor pad is given; here they are 1 and 0.
    """

    @classmethod
    def read(cls, param: Any) -> Any:
        """Leave the numbers of channels to the bottom."""
        options = caffe_pb2.ConvolutionParameter()
        options.CopyFrom(param.convolution_param)
        options.num_output = options.group = 1
        return options

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare a kernel a channel, and a bias unless ``bias_term: false``."""
        self._count(bottom_shapes[0])
        return super().parameters(bottom_shapes)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Channels stay, spatial sizes follow the formula."""
        self._count(bottom_shapes[0])
        return super().shapes(bottom_shapes)

    def _count(self, shape: Shape) -> None:
        self.num_output = self.group = shape[self.window(len(shape)).channel_axis]

    def to_bvlc(self, layer: TorchLayer) -> Iterator[tuple[Any, Sequence[Array]]]:
        """Call it a Convolution of so many groups."""
        for message, blobs in super().to_bvlc(layer):
            message.convolution_param.num_output = self.num_output
            message.convolution_param.group = self.group
            yield message, blobs
