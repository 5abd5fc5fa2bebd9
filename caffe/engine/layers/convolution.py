"""Convolution and its transpose, over 0 to 3 spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch.nn import functional

from caffe.engine.layer import (
    Context,
    Operator,
    ParameterSpec,
    Shape,
    Tensors,
    canonical_axis,
    register,
)
from caffe.engine.layers.shared import check_equal_shapes, text, window_option
from caffe.errors import CheckError

_FORWARD: dict[int, Callable[..., torch.Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}
_TRANSPOSED: dict[int, Callable[..., torch.Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


@dataclass(frozen=True)
class Window:
    """Options of a filter for one number of bottom axes; a value a spatial axis."""

    channel_axis: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def extent(self) -> tuple[int, ...]:
        """Elements that the kernel spans, holes of the dilation included."""
        pairs = zip(self.kernel, self.dilation, strict=True)
        return tuple(d * (k - 1) + 1 for k, d in pairs)


class BaseConvolution(Operator):
    """What both directions share; see `ConvolutionLayer` for the options."""

    bottoms = (1, None)
    tops = (1, None)
    equal_bottoms_tops = True
    backward_needs_top = False
    transposed: ClassVar[bool]

    def setup(self, param: Any, context: Context) -> None:
        """Read the options that do not depend on the number of axes."""
        options = param.convolution_param
        self.num_output = int(options.num_output)
        self.group = int(options.group)
        if self.num_output == 0:
            raise CheckError("num_output is 0: a number above 0 is accepted")
        if self.group == 0 or self.num_output % self.group:
            raise CheckError(
                f"num_output {self.num_output} is not a multiple of group {self.group}"
            )
        self.channels: int | None = None
        self._windows: dict[int, Window] = {}

    def window(self, ndim: int) -> Window:
        """Options for a bottom of ``ndim`` axes."""
        if ndim not in self._windows:
            options = self.param.convolution_param
            axis = canonical_axis(options.axis, ndim)
            axes = ndim - axis - 1
            if axes > 3:
                raise CheckError(
                    f"bottom 0 has {axes} spatial axes: 0 to 3 are accepted"
                )
            self._windows[ndim] = Window(
                axis,
                window_option(options, "kernel_size", axes),
                window_option(options, "stride", axes, 1),
                window_option(options, "pad", axes, 0),
                window_option(options, "dilation", axes, 1),
            )
        return self._windows[ndim]

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the weights, and a bias unless ``bias_term: false``."""
        options = self.param.convolution_param
        shape = bottom_shapes[0]
        window = self.window(len(shape))
        channels = shape[window.channel_axis]
        if channels % self.group:
            raise CheckError(
                f"bottom 0 has {channels} channels: "
                f"a multiple of group {self.group} is accepted"
            )
        self.channels = channels
        rows, columns = self.num_output, channels
        if self.transposed:
            rows, columns = columns, rows
        weights = (rows, columns // self.group, *window.kernel)
        specs = [ParameterSpec(weights, options.weight_filler)]
        if options.bias_term:
            specs.append(ParameterSpec((self.num_output,), options.bias_filler))
        return specs

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Channels become ``num_output``, spatial sizes follow the formula."""
        check_equal_shapes(bottom_shapes)
        shape = bottom_shapes[0]
        window = self.window(len(shape))
        axis = window.channel_axis
        if self.channels not in {None, shape[axis]}:
            raise CheckError(
                f"bottom 0 {text(shape)} has {shape[axis]} channels: "
                f"the weights are for {self.channels}"
            )
        sizes = self.output_sizes(shape[axis + 1 :], window)
        if min(sizes, default=1) < 1:
            raise CheckError(
                f"bottom 0 is {text(shape)}, too small for kernel_size "
                f"{text(window.kernel)}, pad {text(window.pad)}, dilation "
                f"{text(window.dilation)}: the top would be {text(sizes)}"
            )
        return [(*shape[:axis], self.num_output, *sizes)] * len(bottom_shapes)

    def output_sizes(self, sizes: Shape, window: Window) -> Shape:
        """Spatial sizes of the top."""
        raise NotImplementedError

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Filter every bottom with the same parameters."""
        return [self._filter(bottom, *params) for bottom in bottoms]

    def _filter(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        window = self.window(x.dim())
        if window.channel_axis == 1 and window.kernel:
            return self._call(x, weight, bias, window)
        axis = window.channel_axis
        flat = x.reshape(prod(x.shape[:axis]), *x.shape[axis:])
        if window.kernel:
            y = self._call(flat, weight, bias, window)
        else:
            line = Window(1, (1,), (1,), (0,), (1,))
            y = self._call(flat[..., None], weight[..., None], bias, line)[..., 0]
        return y.reshape(*x.shape[:axis], *y.shape[1:])

    def _call(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        window: Window,
    ) -> torch.Tensor:
        options = {
            "stride": window.stride,
            "padding": window.pad,
            "dilation": window.dilation,
            "groups": self.group,
        }
        table = _TRANSPOSED if self.transposed else _FORWARD
        return table[len(window.kernel)](x, weight, bias, **options)


@register("Convolution")
class ConvolutionLayer(BaseConvolution):
    """Correlate the bottom with learnt kernels.

    Options (``convolution_param``)
        num_output : int. Channels of the top.
        kernel_size : repeated int, or ``kernel_h`` and ``kernel_w``. Pixels.
        stride : repeated int, default 1, or ``stride_h`` and ``stride_w``. Pixels.
        pad : repeated int, default 0, or ``pad_h`` and ``pad_w``. Zeros at both ends.
        dilation : repeated int, default 1. Distance of kernel elements in pixels.
        group : int, default 1. Channels are cut into so many independent groups.
        bias_term : bool, default true.
        axis : int, default 1. Axis of the channels; what follows is spatial.
        weight_filler, bias_filler : FillerParameter, default constant 0.

    Repeated options take one value, or one for each spatial axis.

    Bottoms and tops
        As many tops as bottoms, all filtered alike: (N, C, [[Z,] Y,] X) to
        (N, num_output, ...) with sizes
        ``floor((in + 2 pad - (dilation (kernel - 1) + 1)) / stride) + 1``.

    Blobs
        0 : (num_output, C / group, kernel...), 1 : (num_output,)

    Where the kernel does not fit into the bottom, C++ Caffe may answer one element of
    rounding; here it is an error.
    """

    transposed = False

    def output_sizes(self, sizes: Shape, window: Window) -> Shape:
        """Round down."""
        rows = zip(sizes, window.pad, window.extent, window.stride, strict=True)
        return tuple((size + 2 * p - e) // s + 1 for size, p, e, s in rows)


@register("Deconvolution")
class DeconvolutionLayer(BaseConvolution):
    """Transpose of a convolution: every input element adds its scaled kernel.

    Options are those of `ConvolutionLayer`.

    Bottoms and tops
        (N, C, [[Z,] Y,] X) to (N, num_output, ...) with sizes
        ``stride (in - 1) + dilation (kernel - 1) + 1 - 2 pad``.

    Blobs
        0 : (C, num_output / group, kernel...), 1 : (num_output,)
    """

    transposed = True

    def output_sizes(self, sizes: Shape, window: Window) -> Shape:
        """Invert the formula of the convolution."""
        rows = zip(sizes, window.pad, window.extent, window.stride, strict=True)
        return tuple(s * (size - 1) + e - 2 * p for size, p, e, s in rows)
