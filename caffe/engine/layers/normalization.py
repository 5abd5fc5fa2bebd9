"""Layers that normalise by the neighbourhood or by statistics."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import (
    Array,
    Context,
    Operator,
    ParameterSpec,
    Shape,
    Tensors,
)
from caffe.engine.layers.shared import text
from caffe.engine.onnx import normalization as forms
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.spans import SpanRule, meet
from caffe.engine.torch_code import parts
from caffe.engine.torch_code.code import FORMAT, Code, number
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError
from caffe.proto import caffe_pb2

_ROUNDING = 1e-6  # a deviation below this part of the mean may be a rounding error


_BATCH_NORMS = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}


@register("LRN")
class LRNLayer(Operator):
    """Local response normalisation: divide by the energy around each element.

    Options (``lrn_param``)
        local_size : odd int, default 5. Channels, or pixels along Y and X.
        alpha : float, default 1.
        beta : float, default 0.75.
        k : float, default 1. Used across channels; within a channel it is always 1.
        norm_region : ACROSS_CHANNELS (default) or WITHIN_CHANNEL.

    Bottoms and tops
        (N, C, Y, X), ``x / (k + alpha / n * sum(x^2)) ** beta``, the sum over the n
        elements of the neighbourhood (``local_size`` channels, or its square of
        pixels), elements outside being 0.
    """

    backward_needs_top = False

    @classmethod
    def span_rule(cls, param: Any, axis: int, ndim: int) -> SpanRule:
        """Look at a window within a channel, at one pixel across channels."""
        options = param.lrn_param
        if options.norm_region == options.ACROSS_CHANNELS:
            return meet
        size = options.local_size
        return lambda bottoms: bottoms[0].windows(size, 1, size // 2)

    def setup(self, param: Any, context: Context) -> None:
        """Check the size."""
        size = param.lrn_param.local_size
        if size % 2 == 0:
            raise CheckError(f"local_size is {size}: expected an odd number")

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, which must have 4 axes."""
        (shape,) = bottom_shapes
        if len(shape) != 4:
            raise CheckError(
                f"bottom 0 {text(shape)} has {len(shape)} axes: expected 4 (N, C, Y, X)"
            )
        return [shape]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Normalise."""
        (x,) = bottoms
        options = self.param.lrn_param
        size, alpha, beta = options.local_size, options.alpha, options.beta
        if options.norm_region == options.ACROSS_CHANNELS:
            return [_AcrossChannels.apply(x, size, alpha / size, beta, options.k)]
        energy = functional.avg_pool2d(x * x, size, 1, (size - 1) // 2)
        return [x * (1 + alpha * energy) ** -beta]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give LRN across channels; within a channel an average of squares."""
        x = layer.bottom
        options = layer.param.lrn_param
        size, alpha, beta, k = (
            options.local_size,
            options.alpha,
            options.beta,
            options.k,
        )
        if options.norm_region == options.ACROSS_CHANNELS:
            # OpenVINO's LRN takes any bias for 1: k is put before the brackets
            inside = k if k > 0 else 1.0
            name = layer.add(
                "LRN", x, size=size, alpha=alpha / inside, beta=beta, bias=k / inside
            )
            return [layer.top(layer.scaled(name, inside**-beta))]
        energy = layer.add(
            "AveragePool",
            layer.add("Mul", x, x),
            kernel_shape=[size, size],
            pads=[(size - 1) // 2] * 4,
            count_include_pad=1,
        )
        base = layer.scaled(energy, alpha, 1.0)
        factor = layer.add("Pow", base, layer.floats(-beta, "power"))
        return [layer.top(layer.add("Mul", x, factor))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.lrn_param
        (x,) = code.inputs(layer)
        size = options.local_size
        alpha, beta = number(options.alpha), number(options.beta)
        if options.norm_region == options.ACROSS_CHANNELS:
            words = f"{size}, {alpha}, {beta}, {number(options.k)}"
            code.assign(layer, f"F.local_response_norm({x}, {words})")
            return
        energy = f"F.avg_pool2d({x}.square(), {size}, 1, {(size - 1) // 2})"
        code.assign(layer, f"{x} * (1 + {alpha} * {energy}) ** -{beta}")


def _channel_window(x: torch.Tensor, size: int) -> torch.Tensor:
    """Sum of the `size` channels around each one."""
    total, channels = x.clone(), x.shape[1]
    for d in range(1, min(size // 2 + 1, channels)):
        kept = channels - d
        total.narrow(1, 0, kept).add_(x.narrow(1, d, kept))
        total.narrow(1, d, kept).add_(x.narrow(1, 0, kept))
    return total


class _AcrossChannels(torch.autograd.Function):
    """x / (k + factor * window(x^2)) ** beta.

    The derivative is autograd's; written out it takes a small part of the time and
    memory of torch's pooling over channels.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, size: int, factor: float, beta: float, k: float
    ) -> torch.Tensor:
        energy = _channel_window(x * x, size).mul_(factor).add_(k)
        ctx.save_for_backward(x, energy)
        ctx.options = size, factor, beta
        return energy.pow(-beta).mul_(x)

    @staticmethod
    def backward(
        ctx: Any, grad: torch.Tensor
    ) -> tuple[torch.Tensor, None, None, None, None]:
        x, energy = ctx.saved_tensors
        size, factor, beta = ctx.options
        direct = energy.pow(-beta).mul_(grad)
        around = _channel_window((direct * x).div_(energy), size)
        result = direct.addcmul_(x, around, value=-2 * factor * beta)
        return result, None, None, None, None


@register("BatchNorm")
class BatchNormLayer(Operator):
    """Give each channel mean 0 and variance 1, without a learned scale.

    Options (``batch_norm_param``)
        use_global_stats : bool, default false in TRAIN, true in TEST. Normalise by
            the stored statistics, not by those of the batch.
        moving_average_fraction : float, default 0.999. What a batch leaves of the
            stored sums.
        eps : float, default 1e-5. Added to the variance.

    Bottoms and tops
        (N, C, ...) or (N,), ``(x - mean) / sqrt(variance + eps)``.

    Blobs
        0 : (C,), sum of means; 1 : (C,), sum of variances; 2 : (1,), their weight.
        Mean and variance are blobs 0 and 1 divided by blob 2, or 0 where that is 0.

    The blobs are no learnable parameters: each forward by statistics of the batch
    updates them. A variance stored is that of a sample, ``m / (m - 1)`` times the
    variance of the m values of a channel that the batch is normalised by.
    By stored statistics the gradient is that of a scaling.
    """

    affine: ClassVar[bool] = False  # a learnt scale and bias follow
    torch_names: tuple[str, ...] = (
        "running_mean",
        "running_var",
        "num_batches_tracked",
    )
    pointwise = True  # by statistics of the batch, too, as those of a tile are near
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Decide which statistics to use."""
        options = param.batch_norm_param
        self.stored = not context.train
        if options.HasField("use_global_stats"):
            self.stored = bool(options.use_global_stats)
        self.remembers = not self.stored
        self.kept = float(options.moving_average_fraction)
        self.eps = float(options.eps)
        self.channels: int | None = None

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare the statistics."""
        self.channels = _channels(bottom_shapes[0])
        zero = caffe_pb2.FillerParameter(type="constant", value=0)
        shapes = ((self.channels,), (self.channels,), (1,))
        return [ParameterSpec(shape, zero, statistics=True) for shape in shapes]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, whose channels must be those of the statistics."""
        (shape,) = bottom_shapes
        channels = _channels(shape)
        if self.channels not in {None, channels}:
            raise CheckError(
                f"bottom 0 {text(shape)} has {channels} channels: the statistics are "
                f"for {self.channels}"
            )
        return [shape]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Normalise into new memory; update the statistics."""
        (x,) = bottoms
        if self.stored:
            mean, inverse = self._stored_statistics(x, params)
            return [(x - mean).mul_(inverse)]
        rows = x if x.dim() > 1 else x[:, None]
        mean = x.new_zeros(rows.shape[1])
        variance = torch.zeros_like(mean)
        # a momentum of 1 makes it leave this batch's statistics in the two
        top = torch.batch_norm(
            rows, None, None, mean, variance, True, 1.0, self.eps, False
        )
        if rows.numel() == rows.shape[1]:
            # one value a channel, which torch gives no variance and a rounding error
            top, variance = rows - rows, torch.zeros_like(mean)
        elif x.device.type == "cpu":
            top = _without_noise(top, rows, mean, variance)
        if not context.recomputing:
            self._update(params, mean, variance)
        return [top.reshape(x.shape) if x.dim() == 1 else top]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Overwrite the bottom where the statistics are the stored ones."""
        if not self.stored:
            return self.forward([bottom], params, context)[0]
        mean, inverse = self._stored_statistics(bottom, params)
        return bottom.sub_(mean).mul_(inverse)

    def _stored_statistics(self, x: torch.Tensor, params: Tensors) -> Tensors:
        """Mean and 1 / standard deviation, to broadcast against x."""
        mean, variance, weight = (value.detach().to(x.dtype) for value in params)
        factor = torch.where(weight == 0, 0, 1 / weight)
        inverse = (variance * factor + self.eps).rsqrt()
        shape = (-1, *[1] * (x.dim() - 2))
        return [(mean * factor).view(shape), inverse.view(shape)]

    def _update(
        self, params: Tensors, mean: torch.Tensor, variance: torch.Tensor
    ) -> None:
        with torch.no_grad():
            ones = torch.ones_like(params[2])
            for stored, new in zip(params, (mean, variance, ones), strict=True):
                stored.mul_(self.kept).add_(new)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give BatchNormalization by the stored statistics, or the batch's own."""
        x = layer.bottom
        if not self.stored:
            axes = [i for i in range(len(x.shape)) if i != 1]
            return [
                layer.top(forms.standardised(layer, axes, eps=self.eps, inside=True))
            ]
        mean, variance, weight = (layer.values(i).astype(np.float32) for i in range(3))
        factor = np.float32(0 if weight[0] == 0 else 1 / weight[0])
        mean, variance = mean * factor, variance * factor
        if len(x.shape) < 2:
            inverse = 1 / np.sqrt(variance[0] + self.eps)
            centred = layer.add("Sub", x, layer.floats(mean[0], "mean"))
            return [
                layer.top(layer.add("Mul", centred, layer.floats(inverse, "scale")))
            ]
        name = layer.add(
            "BatchNormalization",
            x,
            layer.floats(np.ones_like(mean), "scale"),
            layer.floats(np.zeros_like(mean), "shift"),
            layer.floats(mean, "mean"),
            layer.floats(variance, "variance"),
            epsilon=self.eps,
        )
        return [layer.top(name)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.batch_norm_param
        (x,) = code.inputs(layer)
        shape = layer.shapes[0]
        if len(shape) not in _BATCH_NORMS:
            raise layer.refuse(
                FORMAT, f"bottom 0 has {len(shape)} axes, 2 to 5 have one"
            )
        kind = f"nn.{_BATCH_NORMS[len(shape)]}"
        call = code.module(
            layer,
            f"{kind}({shape[1]}, eps={number(options.eps)}, affine={self.affine})",
        )
        if options.HasField("use_global_stats") and not options.use_global_stats:
            learnt = f"{call}.weight, {call}.bias, " if self.affine else ""
            words = f"{x}, None, None, {learnt}training=True, eps={number(options.eps)}"
            code.assign(layer, f"F.batch_norm({words})")
            return
        code.assign(layer, f"{call}({x})")

    def to_torch_blobs(self, blobs: Sequence[Array]) -> list[Array]:
        """Give mean and variance themselves, and a counter of batches."""
        mean, variance, weight = blobs
        factor = 1 / weight[0] if weight[0] else np.float32(0)
        return [mean * factor, variance * factor, np.zeros((), np.int64)]

    def from_torch_blobs(self, arrays: Sequence[Array]) -> list[Array]:
        """Give the sums the weight 1."""
        return [arrays[0], arrays[1], np.ones(1, np.float32)]


def _without_noise(
    top: torch.Tensor, rows: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor
) -> torch.Tensor:
    """Make channels of one value exactly 0, not the rounding error of their mean."""
    with torch.no_grad():
        doubtful = (variance <= (_ROUNDING * mean).square()) & (mean != 0)
        if not doubtful.any():
            return top
        axes = [axis for axis in range(rows.dim()) if axis != 1]
        same = doubtful & (rows.amax(axes) == rows.amin(axes))
        noise = top * same.view(-1, *[1] * (rows.dim() - 2))
    return top - noise


def _channels(shape: Shape) -> int:
    if not shape:
        raise CheckError("bottom 0 () has 0 axes: expected 1 (N) or more (N, C, ...)")
    return shape[1] if len(shape) > 1 else 1


@register("MVN")
class MVNLayer(Operator):
    """Give each image, or each of its channels, mean 0 and variance 1.

    Options (``mvn_param``)
        normalize_variance : bool, default true. False: only the mean is removed.
        across_channels : bool, default false. Over all channels of an image together.
        eps : float, default 1e-9. Added to the standard deviation.

    Bottoms and tops
        (N, C, Y, X), ``(x - mean) / (deviation + eps)``. A bottom of fewer axes is read
        as if axes of one element were behind them, and the top has all four.

    The gradient is Caffe's, which leaves eps out of the derivative of the deviation.
    """

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, filled up to 4 axes as Caffe does."""
        (shape,) = bottom_shapes
        if len(shape) > 4:
            raise CheckError(
                f"bottom 0 {text(shape)} has {len(shape)} axes: "
                "expected 0 to 4 (N, C, Y, X)"
            )
        return [(*shape, *[1] * (4 - len(shape)))]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Normalise."""
        options = self.param.mvn_param
        (x,) = bottoms
        images = x.reshape(self.shapes([tuple(x.shape)])[0])
        axes = (1, 2, 3) if options.across_channels else (2, 3)
        if options.normalize_variance:
            top = _Standardise.apply(images, axes, options.eps)
        else:
            top = images - _mean(images, axes)
        return [top]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Subtract the mean; divide by the deviation."""
        options = layer.param.mvn_param
        x = layer.bottom
        wanted = (1, 2, 3) if options.across_channels else (2, 3)
        axes = [axis for axis in wanted if axis < len(x.shape)]
        if not axes:  # every mean is that of one value
            top = layer.add("Sub", x, x)
        elif options.normalize_variance:
            top = forms.standardised(layer, axes, eps=options.eps, inside=False)
        else:
            top = layer.add("Sub", x, layer.reduce("ReduceMean", x, axes))
        missing = range(len(x.shape), len(layer.top_shapes[0]))
        pattern = (*x.pattern, *[None] * len(missing))
        return [layer.top(layer.unsqueezed(top, missing), pattern)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        options = layer.param.mvn_param
        (x,) = code.inputs(layer)
        axes = tuple(range(1 if options.across_channels else 2, len(layer.shapes[0])))
        if prod(layer.shapes[0]) and not axes:
            raise layer.refuse(FORMAT, "it normalises single numbers")
        if options.normalize_variance:
            words = f"{x}, {axes}, {number(options.eps)}"
            top = f"{code.part(parts.standardise)}({words})"
        else:
            top = f"({x} - {x}.mean({axes}, keepdim=True))"
        missing = [None] * (4 - len(layer.shapes[0]))
        code.assign(layer, top + (f"[(..., {str(missing)[1:-1]})]" if missing else ""))


def _mean(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """Mean that is exact for equal values: nothing of them may be left over."""
    return x.mean(axes, keepdim=True, dtype=torch.float64).to(x.dtype)


class _Standardise(torch.autograd.Function):
    """Divide by deviation + eps; eps has no part in the deviation's derivative.

    So does Caffe, and the gradient of an image of one value is a number.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, axes: tuple[int, ...], eps: float
    ) -> torch.Tensor:
        centred = x - _mean(x, axes)
        scale = centred.square().mean(axes, keepdim=True).sqrt_().add_(eps)
        top = centred.div_(scale)
        ctx.axes = axes
        ctx.save_for_backward(top, scale)
        return top

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        top, scale = ctx.saved_tensors
        along = (grad * top).mean(ctx.axes, keepdim=True)
        result = grad - grad.mean(ctx.axes, keepdim=True)
        return result.addcmul_(top, along, value=-1).div_(scale), None, None
