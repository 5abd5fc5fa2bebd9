"""Pooling over 1 to 3 spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Context,
    Half,
    Operator,
    Shape,
    Tensors,
    canonical_axis,
)
from caffe.engine.layers.shared import drawing, text, window_option
from caffe.engine.onnx import pooling as forms
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.spans import SpanRule, across
from caffe.engine.torch_code import parts
from caffe.engine.torch_code import windows as code_of
from caffe.engine.torch_code.code import FORMAT, Code, numbers
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError

_MAX: dict[int, Callable[..., Any]] = {
    1: functional.max_pool1d,
    2: functional.max_pool2d,
    3: functional.max_pool3d,
}
_AVE: dict[int, Callable[..., torch.Tensor]] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}


_LOWEST = "torch.finfo(torch.float32).min"


@dataclass(frozen=True)
class Grid:
    """Where the windows lie for one shape of the bottom; a value a spatial axis."""

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    output: tuple[int, ...]
    ceil: bool

    @property
    def native(self) -> bool:
        """True if torch's own padding and rounding give the same windows."""
        if any(2 * p > k for p, k in zip(self.pad, self.kernel, strict=True)):
            return False
        rows = zip(self.size, self.kernel, self.stride, self.pad, strict=True)
        return self.output == tuple(self._native_output(*row) for row in rows)

    def _native_output(self, size: int, kernel: int, stride: int, pad: int) -> int:
        span = size + 2 * pad - kernel
        count = (-(-span // stride) if self.ceil else span // stride) + 1
        beyond = self.ceil and (count - 1) * stride >= size + pad
        return count - 1 if beyond else count

    def margins(self) -> list[int]:
        """Widths of padding, last axis first, that make floor pooling fit."""
        widths: list[int] = []
        rows = (self.size, self.kernel, self.stride, self.pad, self.output)
        for size, kernel, stride, pad, output in zip(*rows, strict=True):
            end = (output - 1) * stride + kernel
            widths = [pad, end - size - pad, *widths]
        return widths

    def areas(self, like: torch.Tensor, *, clipped: bool) -> torch.Tensor:
        """Elements of each window inside the padded bottom, or inside the bottom."""
        area = like.new_ones(())
        rows = (self.size, self.kernel, self.stride, self.pad, self.output)
        for size, kernel, stride, pad, output in zip(*rows, strict=True):
            start = torch.arange(output, device=like.device) * stride - pad
            end = (start + kernel).clamp(max=size + (0 if clipped else pad))
            length = end - (start.clamp(min=0) if clipped else start)
            area = area[..., None] * length.clamp(min=1)
        return area


def _rounds_up(options: Any) -> bool:
    """Tell how the number of windows is rounded: Freiburg's word, or that of others."""
    if options.HasField("ceil_mode"):
        return bool(options.ceil_mode)
    return bool(options.round_mode == options.CEIL)


@register("Pooling")
class PoolingLayer(Operator):
    """Reduce windows of each channel to one value.

    Options (``pooling_param``)
        pool : MAX (default), AVE or STOCHASTIC.
        kernel_size : repeated int, or ``kernel_h`` and ``kernel_w``. Pixels.
        stride : repeated int, default 1, or ``stride_h`` and ``stride_w``. Pixels.
        pad : repeated int, default 0, or ``pad_h`` and ``pad_w``. Below the kernel.
        global_pooling : bool, default false. One window, the whole channel.
        round_mode : CEIL (default) or FLOOR; or ``ceil_mode``, a bool.
        axis : int, default 1. Axis of the channels; what follows is spatial.

    Repeated options take one value, or one for each spatial axis.

    Bottoms
        0 : (N, C, [[Z,] Y,] X)

    Tops
        0 : (N, C, ...) with sizes ``round((in + 2 pad - kernel) / stride) + 1``, one
            less where the last window would start beyond the bottom and any axis is
            padded.
        1 : MAX only, the same shape: index of the maximum within its channel, -1 where
            the window is empty.

    MAX passes the gradient to the first maximum in raster order. AVE divides by the
    part of the window inside the padded bottom, zeros included. STOCHASTIC takes, in
    TRAIN, an element with probability proportional to its value, and in TEST the mean
    weighted by the values; C++ Caffe has it on GPUs only.

    With 3 spatial axes and padding, C++ Caffe on a CPU divides the gradient of AVE by
    the part of the window inside the *unpadded* bottom. So does this layer there.
    """

    capturable = True
    tops = (1, 2)
    backward_needs_top = False

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Look at windows; the last one may not reach beyond the bottom."""
        options = param.pooling_param
        own = canonical_axis(options.axis, ndim)
        if axis <= own:
            return across(own, axis)
        if options.global_pooling:
            raise CheckError(
                "pools over all positions (global_pooling): such a net cannot be run "
                "by tiles"
            )
        axes, number = ndim - own - 1, axis - own - 1
        kernel = window_option(options, "kernel_size", axes)
        stride = window_option(options, "stride", axes, 1)
        pad = window_option(options, "pad", axes, 0)
        sizes = (kernel[number], stride[number], pad[number])
        return lambda bottoms: bottoms[0].windows(*sizes)

    def setup(self, param: Any, context: Context) -> None:
        """Check what does not depend on the number of axes."""
        self.options = options = param.pooling_param
        self.method = options.pool
        self.axis = int(options.axis)
        self.whole = bool(options.global_pooling)
        self.ceil = _rounds_up(options)
        # kernel (of the whole channel: none), stride and pad, by the number of axes
        self._windows: dict[int, tuple[Shape, Shape, Shape]] = {}
        if self.method == options.MAX and len(param.top) == 1:
            self.half = Half.PASSES
        if len(param.top) > 1 and self.method != options.MAX:
            raise CheckError("2 tops are given: only MAX pooling has a second one")
        if options.global_pooling:
            self._check_global(options)
        elif options.HasField("kernel_h") != options.HasField("kernel_w"):
            raise CheckError("kernel_h and kernel_w must be given together")

    @staticmethod
    def _check_global(options: Any) -> None:
        if options.kernel_size or options.kernel_h or options.kernel_w:
            raise CheckError("global_pooling takes no kernel_size")
        pads = [*options.pad, options.pad_h, options.pad_w]
        strides = [*options.stride, options.stride_h or 1, options.stride_w or 1]
        if any(pads) or set(strides) != {1}:
            raise CheckError("global_pooling needs pad 0 and stride 1")

    def grid(self, shape: Shape) -> Grid:
        """Windows for a bottom of this shape."""
        size = shape[canonical_axis(self.axis, len(shape)) + 1 :]
        axes = len(size)
        if not 1 <= axes <= 3:
            raise CheckError(
                f"bottom 0 {text(shape)} has {axes} spatial axes: expected 1 to 3"
            )
        if axes not in self._windows:
            kernel: Shape = ()
            if not self.whole:
                kernel = window_option(self.options, "kernel_size", axes)
            stride = window_option(self.options, "stride", axes, 1)
            pad = window_option(self.options, "pad", axes, 0)
            self._windows[axes] = kernel, stride, pad
        kernel, stride, pad = self._windows[axes]
        kernel = size if self.whole else kernel
        stochastic = self.method == self.options.STOCHASTIC
        _check_pad(pad, kernel, stochastic=stochastic)
        return _lay(size, kernel, stride, pad, ceil=self.ceil)

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Spatial sizes of the windows' grid."""
        shape = bottom_shapes[0]
        output = self.grid(shape).output
        top = (*shape[: len(shape) - len(output)], *output)
        return [top] * len(self.param.top)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Pool, with leading axes made one where the channels are not axis 1."""
        (x,) = bottoms
        grid = self.grid(tuple(x.shape))
        leading = x.shape[: x.dim() - len(grid.size)]
        if len(leading) != 2:
            x = x.reshape(1, prod(leading), *grid.size)
        tops = self._pool(x, grid, context)
        if len(leading) != 2:
            tops = [top.reshape(*leading, *grid.output) for top in tops]
        return tops

    def _pool(self, x: torch.Tensor, grid: Grid, context: Context) -> Tensors:
        if self.method == self.options.STOCHASTIC:
            return [_stochastic(x, grid, context)]
        if self.method == self.options.AVE:
            return [_average(x, grid, gpu=context.gpu)]
        return _maximum(x, grid, mask=len(self.param.top) > 1)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give MaxPool or AveragePool, or those of the whole channel."""
        x = layer.bottom
        options = layer.param.pooling_param
        grid = self.grid(x.shape)
        axes = len(grid.size)
        leading = len(x.shape) - axes
        mask = len(layer.tops) > 1
        whole = {options.MAX: "GlobalMaxPool", options.AVE: "GlobalAveragePool"}
        if (
            options.global_pooling
            and leading == 2
            and options.pool in whole
            and not mask
        ):
            name = layer.add(whole[options.pool], x)
            return [layer.top(name, (*x.pattern[:2], *[None] * axes))]
        data = x
        if leading != 2:
            sizes = (1, prod(x.fixed(range(leading))), *x.shape[leading:])
            name = layer.reshaped(
                x, (*sizes[:2], *x.fixed(range(leading, len(x.shape))))
            )
            data = Value(name, sizes, (None,) * len(sizes))
        names = forms.pool(layer, data, grid, options, mask=mask)
        if leading != 2:
            names = [layer.reshaped(name, layer.top_shapes[0]) for name in names]
        return [layer.top(name, index=index) for index, name in enumerate(names)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.pooling_param
        (x,) = code.inputs(layer)
        axis = layer.axis(options.axis)
        axes = code_of.axes(layer, axis)
        if options.global_pooling:
            code_of.global_pooling(layer, code, axes)
            return
        kernel = window_option(options, "kernel_size", axes)
        stride = window_option(options, "stride", axes, 1)
        pad = window_option(options, "pad", axes, 0)
        ceil = _rounds_up(options)
        as_torch = all(2 * p <= k for p, k in zip(pad, kernel, strict=True)) and (
            any(pad)
            or not ceil
            or all(s <= k for s, k in zip(stride, kernel, strict=True))
        )
        if not as_torch:
            if options.pool != options.MAX or len(layer.tops) > 1:
                raise layer.refuse(FORMAT, "its windows are not torch's")
            words = f"{kernel}, {stride}, {pad}, {ceil}, {_LOWEST}"
            before = f"F.max_pool{axes}d({code.part(parts.pad_windows)}("
            after = f", {words}), {numbers(kernel)}, {numbers(stride)})"
            code.assign(layer, code_of.by_images(x, axis, before, after))
            return
        words = f"{numbers(kernel)}, {numbers(stride)}"
        words += f", {numbers(pad)}" if any(pad) else ""
        words += ", ceil_mode=True" if ceil else ""
        if options.pool == options.STOCHASTIC:
            average = f"F.avg_pool{axes}d(", f", {words})"
            (y,) = code.outputs(layer)
            code.lines += [
                f"mean = {code_of.by_images(x, axis, *average)}",
                f"squares = {code_of.by_images(f'{x}.square()', axis, *average)}",
                f"{y} = torch.where(mean > 0, squares / mean, 0.0)",
            ]
        elif options.pool == options.AVE:
            code.assign(
                layer, code_of.by_images(x, axis, f"F.avg_pool{axes}d(", f", {words})")
            )
        elif len(layer.tops) > 1:
            y, mask = code.outputs(layer)
            call = f"F.max_pool{axes}d({x}, {words}, return_indices=True)"
            code.lines += [f"{y}, {mask} = {call}", f"{mask} = {mask}.type_as({x})"]
        else:
            code.assign(
                layer, code_of.by_images(x, axis, f"F.max_pool{axes}d(", f", {words})")
            )


@register("SPP")
class SPPLayer(Operator):
    """Spatial pyramid pooling: a vector of one length from an image of any size.

    Options (``spp_param``)
        pyramid_height : int. Number of levels; level i has ``2**i`` windows along each
            axis.
        pool : MAX (default), AVE or STOCHASTIC, as in `PoolingLayer`.

    Bottoms
        0 : (N, C, Y, X)

    Tops
        0 : (N, C (1 + 4 + 16 + ...)), level by level, each channel by channel; of one
            level (N, C, 1, 1).

    The windows of a level are ``ceil(size / 2**i)`` long and do not overlap; what they
    have too much is padding, the larger half of it at the beginning.
    """

    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Check the number of levels."""
        self.levels = int(param.spp_param.pyramid_height)
        if self.levels == 0:
            raise CheckError("pyramid_height is 0: expected a number above 0")

    def _grids(self, shape: Shape) -> list[Grid]:
        options = self.param.spp_param
        if len(shape) != 4 or min(shape[2:]) == 0:
            raise CheckError(
                f"bottom 0 is {text(shape)}: expected 4 axes, the last two not empty"
            )
        grids = []
        for level in range(self.levels):
            kernel = tuple(-(-size // 2**level) for size in shape[2:])
            pairs = zip(kernel, shape[2:], strict=True)
            pad = tuple((k * 2**level - size + 1) // 2 for k, size in pairs)
            try:
                _check_pad(pad, kernel, stochastic=options.pool == options.STOCHASTIC)
            except CheckError as error:
                raise CheckError(
                    f"bottom 0 is {text(shape)}, which level {level} of pyramid_height "
                    f"{self.levels} cannot divide: {error}"
                ) from None
            grids.append(_lay(shape[2:], kernel, kernel, pad, ceil=True))
        return grids

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Make one axis of all windows, unless there is but one level."""
        shape = bottom_shapes[0]
        grids = self._grids(shape)
        if len(grids) == 1:
            return [(*shape[:2], *grids[0].output)]
        return [(shape[0], shape[1] * sum(prod(grid.output) for grid in grids))]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Pool at every level and join."""
        (x,) = bottoms
        tops = [self._pool(x, grid, context) for grid in self._grids(tuple(x.shape))]
        if len(tops) == 1:
            return tops
        return [torch.cat([top.flatten(1) for top in tops], 1)]

    def _pool(self, x: torch.Tensor, grid: Grid, context: Context) -> torch.Tensor:
        options = self.param.spp_param
        if options.pool == options.STOCHASTIC:
            return _stochastic(x, grid, context)
        if options.pool == options.AVE:
            return _average(x, grid, gpu=context.gpu)
        return _maximum(x, grid, mask=False)[0]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Pool at every level and join."""
        x = layer.bottom
        x.fixed([2, 3])
        options = layer.param.spp_param
        levels = [
            forms.pool(layer, x, grid, options, mask=False)[0]
            for grid in self._grids(x.shape)
        ]
        if len(levels) == 1:
            return [layer.top(levels[0])]
        flat = [layer.add("Flatten", level, axis=1) for level in levels]
        return [layer.top(layer.add("Concat", *flat, axis=1), (x.pattern[0], None))]


def _check_pad(pad: Shape, kernel: Shape, *, stochastic: bool) -> None:
    if any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise CheckError(
            f"pad is {text(pad)}: expected values below kernel_size {text(kernel)}"
        )
    if any(pad) and stochastic:
        raise CheckError(f"pad is {text(pad)}: STOCHASTIC pooling accepts 0")


def _lay(size: Shape, kernel: Shape, stride: Shape, pad: Shape, *, ceil: bool) -> Grid:
    """Find how many windows there are."""
    output = []
    for n, k, s, p in zip(size, kernel, stride, pad, strict=True):
        span = n + 2 * p - k
        count = (-(-span // s) if ceil else span // s) + 1
        beyond = any(pad) and (count - 1) * s >= n + p
        output.append(count - 1 if beyond else count)
    if min(output) < 1:
        raise CheckError(
            f"bottom 0 has spatial sizes {text(size)}, too small for kernel_size "
            f"{text(kernel)}, stride {text(stride)}, pad {text(pad)}: the top would be "
            f"{text(output)}"
        )
    return Grid(size, kernel, stride, pad, tuple(output), ceil)


def _maximum(x: torch.Tensor, grid: Grid, *, mask: bool) -> Tensors:
    pool = _MAX[len(grid.size)]
    if grid.native:
        top = pool(
            x,
            grid.kernel,
            grid.stride,
            grid.pad,
            ceil_mode=grid.ceil,
            return_indices=mask,
        )
        return [top[0], top[1].to(x.dtype)] if mask else [top]
    lowest = torch.finfo(x.dtype).min
    padded = functional.pad(x, grid.margins(), value=lowest)
    top = pool(padded, grid.kernel, grid.stride, return_indices=mask)
    if not mask:
        return [top]
    return [top[0], _unpad_index(top[1], padded.shape, grid).to(x.dtype)]


def _unpad_index(index: torch.Tensor, padded: Shape, grid: Grid) -> torch.Tensor:
    """Index within the unpadded channel; -1 for an element of the padding."""
    result = torch.zeros_like(index)
    inside = torch.ones_like(index, dtype=torch.bool)
    factor = 1
    for size, width, pad in zip(
        grid.size[::-1],
        padded[: 1 - len(grid.size) - 2 : -1],
        grid.pad[::-1],
        strict=True,
    ):
        position = index % width - pad
        inside &= (position >= 0) & (position < size)
        result += position * factor
        factor *= size
        index = index // width
    return torch.where(inside, result, -1)


def _average(x: torch.Tensor, grid: Grid, *, gpu: bool) -> torch.Tensor:
    pool = _AVE[len(grid.size)]
    # torch does not count the padding when it compares a volume with the kernel
    fits = all(n >= k for n, k in zip(grid.size, grid.kernel, strict=True))
    if grid.native and (fits or len(grid.size) < 3):
        top = pool(x, grid.kernel, grid.stride, grid.pad, ceil_mode=grid.ceil)
    else:
        top = pool(functional.pad(x, grid.margins()), grid.kernel, grid.stride)
        top = top * (prod(grid.kernel) / grid.areas(x, clipped=False))
    if top.requires_grad and len(grid.size) == 3 and any(grid.pad) and not gpu:
        whole, inside = (grid.areas(x, clipped=clip) for clip in (False, True))
        top = _ScaleGradient.apply(top, whole / inside)
    return top


class _ScaleGradient(torch.autograd.Function):
    """Identity with a scaled gradient: Caffe's 3-D average is not its derivative."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(factor)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (factor,) = ctx.saved_tensors
        return grad * factor, None


def _stochastic(x: torch.Tensor, grid: Grid, context: Context) -> torch.Tensor:
    windows = functional.pad(x, grid.margins())
    for axis, (kernel, stride) in enumerate(
        zip(grid.kernel, grid.stride, strict=True), 2
    ):
        windows = windows.unfold(axis, kernel, stride)
    windows = windows.flatten(-len(grid.size))
    if not context.train:
        total = windows.sum(-1)
        positive = total > 0
        mean = (windows**2).sum(-1) / torch.where(positive, total, 1)
        return torch.where(positive, mean, 0)
    below = windows.detach().cumsum(-1)
    draw = torch.empty(below.shape[:-1], dtype=x.dtype, device=x.device)
    # 1 - draw lies above 0: an element of value 0 is taken only if all are 0
    threshold = (1 - draw.uniform_(generator=drawing(context))) * below[..., -1]
    chosen = (below >= threshold[..., None]).to(torch.uint8).argmax(-1, keepdim=True)
    return windows.gather(-1, chosen)[..., 0]
