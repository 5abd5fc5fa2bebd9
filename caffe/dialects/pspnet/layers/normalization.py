"""PSPNet's batch normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.code import Code, number
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError
from caffe.proto import caffe_pb2

_OWN = ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "engine")
_BLOBS = 4


@register("BN")
class BNLayer(Operator):
    """Normalise each channel, then scale and shift it (yjxiong's and PSPNet's BN).

    Options (``bn_param``)
        slope_filler, bias_filler : FillerParameter, default constant 0.
        momentum : float, default 0.9. What a batch leaves of the statistics.
        eps : float, default 1e-5. Added to the variance.
        frozen : bool, default false. Use the statistics in TRAIN too; slope and bias
            learn nothing.

    Bottoms and tops
        (N, C, ...), ``slope (x - mean) / sqrt(variance + eps) + bias``: in TRAIN mean
        and variance of the batch, in TEST the running ones.

    Blobs
        (1, C, 1, 1) each: slope, bias, running mean, running variance, which begins at
        1 if frozen, else at 0. Running ones are ``momentum`` of what they were plus the
        rest of the batch's, whose variance is divided by the number of values.

    Running statistics, and if frozen all blobs, have the learning rate 0 whatever the
    net says. In TEST, unless frozen, the gradient is the one of TRAIN with the running
    statistics in it, as if they came from the batch.
    """

    usual = True
    pointwise = True  # by statistics of the batch, too, as those of a tile are near
    backward_needs_top = False
    torch_names = ("weight", "bias", "running_mean", "running_var")

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Ask the fields of ``bn_param``, then the blobs."""
        given = {field.name for field, _ in param.bn_param.ListFields()}
        if given:
            return given <= set(_OWN)
        return None if blobs in {None, _BLOBS} else False

    def setup(self, param: Any, context: Context) -> None:
        """Decide which statistics to use."""
        options = param.bn_param
        self._frozen = bool(options.frozen)
        self._stored = self._frozen or not context.train
        self.remembers = not self._stored
        self._kept, self._eps = float(options.momentum), float(options.eps)
        self._channels: int | None = None

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare slope, bias and statistics."""
        (shape,) = bottom_shapes
        if len(shape) < 2:
            raise CheckError(f"bottom 0 is {text(shape)}: expected 2 axes or more")
        self._channels = shape[1]
        options, frozen = self.param.bn_param, self._frozen
        variance = caffe_pb2.FillerParameter(type="constant", value=float(frozen))
        blob = (1, self._channels, 1, 1)
        return [
            ParameterSpec(blob, options.slope_filler, held=frozen),
            ParameterSpec(blob, options.bias_filler, held=frozen),
            ParameterSpec(
                blob, caffe_pb2.FillerParameter(), statistics=True, held=True
            ),
            ParameterSpec(blob, variance, statistics=True, held=True),
        ]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, whose channels must be those of the blobs."""
        (shape,) = bottom_shapes
        if self._channels not in {None, shape[1]}:
            raise CheckError(
                f"bottom 0 {text(shape)} has {shape[1]} channels: the blobs are for "
                f"{self._channels}"
            )
        return [shape]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Normalise; update the running statistics."""
        (x,) = bottoms
        slope, bias = (param.flatten() for param in params[:2])
        mean, variance = (param.detach().flatten() for param in params[2:])
        if self._frozen:
            slope, bias = slope.detach(), bias.detach()
            return [
                functional.batch_norm(x, mean, variance, slope, bias, eps=self._eps)
            ]
        if not self._stored:
            axes = [axis for axis in range(x.dim()) if axis != 1]
            variance, mean = torch.var_mean(x.detach(), axes, correction=0)
            if context.train and not context.recomputing:
                self._update(params[2:], [mean, variance])
        return [_Normalise.apply(x, slope, bias, mean, variance, self._eps)]

    def _update(self, stored: Tensors, new: Tensors) -> None:
        with torch.no_grad():
            for blob, value in zip(stored, new, strict=True):
                blob.mul_(self._kept).add_(value.view_as(blob), alpha=1 - self._kept)

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Overwrite the bottom where the statistics are the stored ones."""
        if not self._stored:
            return self.forward([bottom], params, context)[0]
        shape = (-1, *[1] * (bottom.dim() - 2))
        slope, bias, mean, variance = (param.detach().view(shape) for param in params)
        scale = slope * (variance + self._eps).rsqrt()
        return bottom.sub_(mean).mul_(scale).add_(bias)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give BatchNormalization."""
        slope, bias, mean, variance = (
            layer.floats(layer.values(i).astype(np.float32).ravel(), name)
            for i, name in enumerate(("slope", "bias", "mean", "variance"))
        )
        name = layer.add(
            "BatchNormalization",
            layer.bottom,
            slope,
            bias,
            mean,
            variance,
            epsilon=self._eps,
        )
        return [layer.top(name)]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        (x,) = code.inputs(layer)
        shape = layer.shapes[0]
        kind = f"nn.BatchNorm{max(len(shape) - 2, 1)}d"
        call = code.module(layer, f"{kind}({shape[1]}, eps={number(self._eps)})")
        code.assign(layer, f"{call}({x})")

    def to_torch_blobs(self, blobs: Sequence[Array]) -> list[Array]:
        """Give vectors."""
        return [blob.ravel() for blob in blobs]


class _Normalise(torch.autograd.Function):
    """Normalise by given statistics, with the gradient as if the batch had them."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        slope: torch.Tensor,
        bias: torch.Tensor,
        mean: torch.Tensor,
        variance: torch.Tensor,
        eps: float,
    ) -> torch.Tensor:
        ctx.eps = eps
        ctx.save_for_backward(x, slope, mean, (variance + eps).rsqrt())
        return functional.batch_norm(x, mean, variance, slope, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, slope, mean, inverse = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:3])
        found = torch.ops.aten.native_batch_norm_backward(
            grads[0], x, slope, None, None, mean, inverse, True, ctx.eps, wanted
        )
        return *found, None, None, None
