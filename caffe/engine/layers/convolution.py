"""Convolution, its transpose, and the matrix of its windows, over any axes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.kernels import plain
from caffe.engine.kernels.convolution import Options, convolve, workspace
from caffe.engine.layer import (
    Context,
    Half,
    Operator,
    ParameterSpec,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import check_equal_shapes, text, window_option
from caffe.engine.onnx import convolution as forms
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.packing import Packing
from caffe.engine.spans import SpanRule, across, meet
from caffe.engine.torch_code import windows as code_of
from caffe.engine.torch_code.code import Code, numbers
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError

_IMAGE_AXES = 2


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


def read_window(options: Any, axis: int, ndim: int) -> Window:
    """Read a ConvolutionParameter for a bottom of ``ndim`` axes."""
    axes = ndim - axis - 1
    return Window(
        axis,
        window_option(options, "kernel_size", axes),
        window_option(options, "stride", axes, 1),
        window_option(options, "pad", axes, 0),
        _dilation(options, axes),
    )


def _dilation(options: Any, axes: int) -> tuple[int, ...]:
    """Read ``dilation``, or what the first DeepLab calls holes."""
    holes = ("hole_h", "hole_w")
    given = [name for name in ("hole", *holes) if options.HasField(name)]
    if not given:
        return window_option(options, "dilation", axes, 1, zero=True)
    if options.dilation or "hole" in given[:-1]:
        raise CheckError(
            f"{', '.join(given)} and other names of the dilation are given: give one"
        )
    if given == ["hole"]:
        return (int(options.hole),) * axes
    if axes != 2:
        raise CheckError(f"{given[0]} is for 2 spatial axes, bottom 0 has {axes}")
    return tuple(int(getattr(options, name)) for name in holes)


def window_rule(
    options: Any, axis: int, ndim: int, *, transposed: bool = False
) -> SpanRule:
    """Rule of `Operator.span_rule` for filters, which mix all channels."""
    own = canonical_axis(options.axis, ndim)
    if axis <= own:
        return across(own, axis)
    window, number = read_window(options, own, ndim), axis - own - 1
    values = (window.kernel, window.stride, window.pad, window.dilation)
    sizes = [value[number] for value in values]
    if transposed:
        return lambda bottoms: meet([x.spread(*sizes) for x in bottoms])
    return lambda bottoms: meet([x.windows(*sizes) for x in bottoms])


def check_fit(shape: Shape, window: Window, sizes: Shape) -> None:
    """Refuse a bottom that leaves nothing of the top."""
    if min(sizes, default=1) < 1:
        raise CheckError(
            f"bottom 0 is {text(shape)}, too small for kernel_size "
            f"{text(window.kernel)}, pad {text(window.pad)}, dilation "
            f"{text(window.dilation)}: the top would be {text(sizes)}"
        )


def im2col(x: torch.Tensor, window: Window) -> torch.Tensor:
    """Windows of a blob (N, C, spatial...), as (N, C * kernel, output...).

    The channel runs slowest along axis 1, then the first spatial axis of the kernel.
    """
    axes = len(window.kernel)
    x = functional.pad(x, [p for p in reversed(window.pad) for _ in range(2)])
    for axis, (extent, stride, dilation) in enumerate(
        zip(window.extent, window.stride, window.dilation, strict=True), 2
    ):
        x = x.unfold(axis, extent, stride)
        if dilation:
            x = x[..., ::dilation]
        else:
            x = x.expand(*x.shape[:-1], window.kernel[axis - 2])
    # axes are now N, C, output..., kernel...
    kernel = range(2 + axes, 2 + 2 * axes)
    x = x.permute(0, 1, *kernel, *range(2, 2 + axes))
    return x.flatten(1, 1 + axes)


def col2im(columns: torch.Tensor, sizes: Shape, window: Window) -> torch.Tensor:
    """Add windows (N, C * kernel, output...) up into a blob (N, C, sizes...)."""
    axes = len(sizes)
    output = columns.shape[2:]
    parts = columns.unflatten(1, (-1, prod(window.kernel)))
    padded = [size + 2 * p for size, p in zip(sizes, window.pad, strict=True)]
    x = columns.new_zeros((*parts.shape[:2], *padded))
    for i, place in enumerate(product(*map(range, window.kernel))):
        rows = zip(place, window.dilation, window.stride, output, strict=True)
        box = [slice(k * d, k * d + s * (n - 1) + 1, s) for k, d, s, n in rows]
        hit = (slice(None), slice(None), *box)
        x[hit] += parts[:, :, i]
    for axis in range(axes):
        x = x.narrow(2 + axis, window.pad[axis], sizes[axis])
    return x


def _convolve(
    x: torch.Tensor, weight: torch.Tensor, window: Window, group: int
) -> torch.Tensor:
    """Filter over more spatial axes than torch knows."""
    columns = im2col(x, window)
    matrix = weight.reshape(group, -1, weight[0].numel())
    y = matrix @ columns.reshape(len(x), group, matrix.shape[2], -1)
    return y.reshape(len(x), len(weight), *columns.shape[2:])


def _deconvolve(
    x: torch.Tensor, weight: torch.Tensor, window: Window, group: int
) -> torch.Tensor:
    """Transpose of `_convolve`."""
    matrix = weight.reshape(group, -1, weight[0].numel()).transpose(1, 2)
    columns = matrix @ x.reshape(len(x), group, matrix.shape[2], -1)
    columns = columns.reshape(len(x), -1, *x.shape[2:])
    return col2im(columns, transposed_sizes(x.shape[2:], window), window)


def forward_sizes(sizes: Sequence[int], window: Window) -> Shape:
    """Spatial sizes of a convolution's top: rounded down."""
    rows = zip(sizes, window.pad, window.extent, window.stride, strict=True)
    return tuple((size + 2 * p - e) // s + 1 for size, p, e, s in rows)


def transposed_sizes(sizes: Sequence[int], window: Window) -> Shape:
    """Spatial sizes of a deconvolution's top: those of the convolution inverted."""
    rows = zip(sizes, window.pad, window.extent, window.stride, strict=True)
    return tuple(s * (size - 1) + e - 2 * p for size, p, e, s in rows)


def _gathered(weight: torch.Tensor, window: Window) -> tuple[torch.Tensor, Window]:
    """Add up the elements of a kernel along the axes where dilation 0 joins them."""
    pairs = list(zip(window.kernel, window.dilation, strict=True))
    flat = [axis for axis, (_, dilation) in enumerate(pairs, 2) if dilation == 0]
    kernel = tuple(size if dilation else 1 for size, dilation in pairs)
    dilations = tuple(max(dilation, 1) for _, dilation in pairs)
    window = replace(window, kernel=kernel, dilation=dilations)
    return weight.sum(flat, keepdim=True), window


class BaseConvolution(Operator):
    """What both directions share; see `ConvolutionLayer` for the options."""

    bottoms = (1, None)
    tops = (1, None)
    equal_bottoms_tops = True
    torch_names = ("weight", "bias")
    backward_needs_top = False
    half = Half.COMPUTES
    transposed: ClassVar[bool]

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Put the filters at every place along the spatial axes."""
        return window_rule(cls.read(param), axis, ndim, transposed=cls.transposed)

    @classmethod
    def read(cls, param: Any) -> Any:
        """Give the options as a ConvolutionParameter."""
        return param.convolution_param

    def setup(self, param: Any, context: Context) -> None:
        """Read the options that do not depend on the number of axes."""
        self.options = options = self.read(param)
        self.num_output = int(options.num_output)
        self.group = int(options.group)
        if self.num_output == 0:
            raise CheckError("num_output is 0: expected a number above 0")
        if self.group == 0 or self.num_output % self.group:
            raise CheckError(
                f"num_output {self.num_output} is not a multiple of group {self.group}"
            )
        self.channels: int | None = None
        self._windows: dict[int, Window] = {}

    def window(self, ndim: int) -> Window:
        """Options for a bottom of ``ndim`` axes."""
        if ndim not in self._windows:
            axis = canonical_axis(self.options.axis, ndim)
            self._windows[ndim] = read_window(self.options, axis, ndim)
        return self._windows[ndim]

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the weights, and a bias unless ``bias_term: false``."""
        options = self.options
        shape = bottom_shapes[0]
        window = self.window(len(shape))
        channels = shape[window.channel_axis]
        if channels % self.group:
            raise CheckError(
                f"bottom 0 has {channels} channels: "
                f"expected a multiple of group {self.group}"
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
        check_fit(shape, window, sizes)
        return [(*shape[:axis], self.num_output, *sizes)] * len(bottom_shapes)

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = self.options
        axis = layer.axis(options.axis)
        shape = layer.shapes[0]
        axes = code_of.axes(layer, axis)
        words = [
            f"{shape[axis]}, {self.num_output}",
            numbers(window_option(options, "kernel_size", axes)),
        ]
        for option, word, default in (
            ("stride", "stride", 1),
            ("pad", "padding", 0),
            ("dilation", "dilation", 1),
        ):
            values = window_option(options, option, axes, default)
            if set(values) != {default}:
                words.append(f"{word}={numbers(values)}")
        if self.group > 1:
            words.append(f"groups={self.group}")
        if not options.bias_term:
            words.append("bias=False")
        turned = "Transpose" if self.transposed else ""
        call = code.module(layer, f"nn.Conv{turned}{axes}d({', '.join(words)})")
        for x, y in zip(code.inputs(layer), code.outputs(layer), strict=True):
            code.lines.append(f"{y} = {code_of.by_images(x, axis, f'{call}(', ')')}")

    @abstractmethod
    def output_sizes(self, sizes: Shape, window: Window) -> Shape:
        """Spatial sizes of the top."""

    def multiply_adds(
        self,
        bottoms: Sequence[Shape],
        tops: Sequence[Shape],
        params: Sequence[Shape],
    ) -> int:
        """Count all weights once for each place where the filters are put."""
        axis = self.window(len(bottoms[0])).channel_axis
        placed = bottoms if self.transposed else tops
        return prod(params[0]) * sum(
            prod(shape[:axis]) * prod(shape[axis + 1 :]) for shape in placed
        )

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Filter every bottom with the same parameters."""
        return [self._filter(bottom, params, context.packing) for bottom in bottoms]

    def _filter(
        self, x: torch.Tensor, params: Tensors, packing: Packing
    ) -> torch.Tensor:
        weight, bias = params[0], params[1] if len(params) > 1 else None
        window = self.window(x.dim())
        if 0 in window.dilation:
            weight, window = _gathered(weight, window)
        if window.channel_axis == 1 and window.kernel:
            return self._call(x, weight, bias, window, packing)
        axis = window.channel_axis
        flat = x.reshape(prod(x.shape[:axis]), *x.shape[axis:])
        if window.kernel:
            y = self._call(flat, weight, bias, window, packing)
        else:
            line = Window(1, (1,), (1,), (0,), (1,))
            flat, weight = flat[..., None], weight[..., None]
            y = self._call(flat, weight, bias, line, packing)[..., 0]
        return y.reshape(*x.shape[:axis], *y.shape[1:])

    def _call(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        window: Window,
        packing: Packing,
    ) -> torch.Tensor:
        if (axes := len(window.kernel)) > plain.MOST_AXES:
            call = _deconvolve if self.transposed else _convolve
            y = call(x, weight.to(x.dtype), window, self.group)
            return y if bias is None else y + bias.to(x.dtype).view(-1, *[1] * axes)
        options = self._options(window)
        return plain.convolve(x, weight, bias, options, transposed=self.transposed)

    def _options(self, window: Window, slope: float | None = None) -> Options:
        return Options(window.stride, window.pad, window.dilation, self.group, slope)


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

    Repeated options take one value, or one for each spatial axis. With dilation 0 all
    elements of the kernel lie on one pixel. ``force_nd_im2col`` and ``engine`` have no
    effect. Over more than 3 spatial axes the
    windows are copied, as C++ Caffe always does.

    Bottoms and tops
        As many tops as bottoms, all filtered alike: (N, C, [[Z,] Y,] X) to
        (N, num_output, ...) with sizes
        ``floor((in + 2 pad - (dilation (kernel - 1) + 1)) / stride) + 1``.

    Blobs
        0 : (num_output, C / group, kernel...), 1 : (num_output,)

    A kernel that does not fit is an error; C++ Caffe may answer one element there.
    """

    capturable = True
    transposed = False
    rectifies = True

    def output_sizes(self, sizes: Shape, window: Window) -> Shape:
        """Round down."""
        return forward_sizes(sizes, window)

    def forward_rectified(
        self, bottom: torch.Tensor, params: Tensors, context: Context, slope: float
    ) -> torch.Tensor:
        """Filter and rectify, at once where the kernel can."""
        window = self.window(bottom.dim())
        images = window.channel_axis == 1 and len(window.kernel) == _IMAGE_AXES
        if images and 0 not in window.dilation:
            bias, options = (*params, None)[1], self._options(window, slope)
            return convolve(bottom, params[0], bias, options, context.packing)
        return super().forward_rectified(bottom, params, context, slope)

    def workspace(self, bottom_shapes: Sequence[Shape]) -> tuple[int, int]:
        """Packed weights, and what Winograd's filtering takes for a moment."""
        shape = bottom_shapes[0]
        window = self.window(len(shape))
        images = window.channel_axis == 1 and len(window.kernel) == _IMAGE_AXES
        if not images or 0 in window.dilation:
            return 0, 0
        weight = (self.num_output, shape[1] // self.group, *window.kernel)
        return workspace(shape, weight, self._options(window))

    def _call(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        window: Window,
        packing: Packing,
    ) -> torch.Tensor:
        if len(window.kernel) == _IMAGE_AXES:
            return convolve(x, weight, bias, self._options(window), packing)
        return super()._call(x, weight, bias, window, packing)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Conv."""
        return forms.convolve(layer, "Conv")


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

    capturable = True
    transposed = True

    def output_sizes(self, sizes: Shape, window: Window) -> Shape:
        """Invert the formula of the convolution."""
        return transposed_sizes(sizes, window)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give ConvTranspose."""
        return forms.convolve(layer, "ConvTranspose")


@register("Im2col")
class Im2colLayer(Operator):
    """Give every element of a convolution's window a channel of its own.

    Options (``convolution_param``)
        kernel_size, stride, pad, dilation and axis as in `ConvolutionLayer`.

    Bottoms and tops
        (N, C, ..., Y, X) to (N, C * kernel, ...) with the spatial sizes of a
        convolution. Channels run slowest, then the elements of the kernel in row-major
        order. The gradients of all windows an element lies in add up.
    """

    backward_needs_top = False

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Look at the windows of a convolution."""
        return window_rule(param.convolution_param, axis, ndim)

    def _window(self, shape: Shape) -> Window:
        options = self.param.convolution_param
        axis = canonical_axis(options.axis, len(shape))
        if axis == len(shape) - 1:
            raise CheckError(
                f"bottom 0 {text(shape)} has no spatial axes behind axis {axis}: "
                "expected 1 or more"
            )
        return read_window(options, axis, len(shape))

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Channels times kernel elements, and the sizes of a convolution."""
        shape = bottom_shapes[0]
        window = self._window(shape)
        axis = window.channel_axis
        sizes = forward_sizes(shape[axis + 1 :], window)
        check_fit(shape, window, sizes)
        return [(*shape[:axis], shape[axis] * prod(window.kernel), *sizes)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Copy the windows."""
        (x,) = bottoms
        window = self._window(tuple(x.shape))
        axis = window.channel_axis
        columns = im2col(x.reshape(prod(x.shape[:axis]), *x.shape[axis:]), window)
        return [columns.reshape(*x.shape[:axis], *columns.shape[1:])]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give a convolution with kernels that pick one element each."""
        x = layer.bottom
        window = self._window(x.shape)
        axis = window.channel_axis
        count = prod(window.kernel)
        (channels,) = x.fixed([axis])
        picking = np.eye(count, dtype=np.float32).reshape(count, 1, *window.kernel)
        weights = layer.floats(np.tile(picking, (channels, *[1] * (picking.ndim - 1))))
        options = forms.window_options(window, channels)
        if axis == 1:
            return [layer.top(layer.add("Conv", x, weights, **options))]
        sizes = x.fixed()
        flat = layer.reshaped(x, (prod(sizes[:axis]), *sizes[axis:]))
        columns = layer.add("Conv", flat, weights, **options)
        return [layer.top(layer.reshaped(columns, layer.top_shapes[0]))]
