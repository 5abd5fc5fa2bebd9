"""SegNet's batch normalization."""

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
from caffe.engine.onnx import normalization as forms
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.code import FORMAT, Code
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError

_OWN = {"scale_filler", "shift_filler", "bn_mode"}
_EPS = 1e-9
_BLOBS = 2


@register("BN")
class BNLayer(Operator):
    """Normalise each channel by the batch, then scale and shift it (SegNet's BN).

    Options (``bn_param``)
        scale_filler, shift_filler : FillerParameter, default constant 0.
        bn_mode : LEARN (default): by mean and variance of the batch, in TEST too;
            INFERENCE: scale and shift alone, into which a script of SegNet's has
            worked the statistics.

    Bottoms
        0 : (N, C, ...)

    Tops
        0 : shape of the bottom, ``scale (x - mean) / sqrt(variance + 1e-9) + shift``.
        1, 2 : optional, (1, C, 1, 1), mean and variance of the batch. No gradient.

    Blobs
        0, 1 : (1, C, 1, 1), scale and shift.
    """

    tops = (1, 3)
    pointwise = True  # by statistics of the batch, too, as those of a tile are near
    backward_needs_top = False
    torch_names = ("weight", "bias")

    @classmethod
    def claims(cls, param: Any, blobs: int | None) -> bool | None:
        """Ask the fields of ``bn_param``, then the blobs."""
        given = {field.name for field, _ in param.bn_param.ListFields()}
        if given:
            return given <= _OWN
        return None if blobs is None else blobs == _BLOBS

    def setup(self, param: Any, context: Context) -> None:
        """Read the mode."""
        options = param.bn_param
        self._folded = options.bn_mode == options.INFERENCE
        self._channels: int | None = None

    def parameters(self, bottom_shapes: Sequence[Shape]) -> list[ParameterSpec]:
        """Declare scale and shift."""
        (shape,) = bottom_shapes
        if len(shape) < 2:
            raise CheckError(f"bottom 0 is {text(shape)}: expected 2 axes or more")
        self._channels = shape[1]
        options, blob = self.param.bn_param, (1, shape[1], 1, 1)
        return [
            ParameterSpec(blob, options.scale_filler),
            ParameterSpec(blob, options.shift_filler),
        ]

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom, and those of the statistics."""
        (shape,) = bottom_shapes
        if self._channels not in {None, shape[1]}:
            raise CheckError(
                f"bottom 0 {text(shape)} has {shape[1]} channels: the blobs are for "
                f"{self._channels}"
            )
        blob = (1, shape[1], 1, 1)
        return [shape, blob, blob][: len(self.param.top)]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Normalise, or scale and shift alone."""
        (x,) = bottoms
        scale, shift = (param.flatten() for param in params)
        if self._folded:
            shape = (-1, *[1] * (x.dim() - 2))
            tops = [torch.addcmul(shift.view(shape), x, scale.view(shape))]
        else:
            tops = [
                functional.batch_norm(x, None, None, scale, shift, True, eps=_EPS)
                if x.numel() > x.shape[1]
                else (x - x.detach()) * 0 + shift.view(1, -1, *[1] * (x.dim() - 2))
            ]
        if len(self.param.top) == 1:
            return tops
        axes = [axis for axis in range(x.dim()) if axis != 1]
        variance, mean = torch.var_mean(x.detach(), axes, correction=0)
        blob = (1, x.shape[1], 1, 1)
        return [*tops, mean.view(blob), variance.view(blob)][: len(self.param.top)]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Overwrite the bottom where nothing is normalised."""
        if not self._folded:
            return self.forward([bottom], params, context)[0]
        shape = (-1, *[1] * (bottom.dim() - 2))
        scale, shift = (param.detach().view(shape) for param in params)
        return bottom.mul_(scale).add_(shift)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give BatchNormalization of folded statistics, else by the batch's own."""
        if len(layer.tops) > 1:
            return super().to_onnx(layer)
        shape = (-1, *[1] * (len(layer.bottom.shape) - 2))
        scale, shift = (
            layer.floats(layer.values(i).astype(np.float32).reshape(shape), name)
            for i, name in enumerate(("scale", "shift"))
        )
        name = layer.bottom.name
        if not self._folded:
            axes = [i for i in range(len(layer.bottom.shape)) if i != 1]
            name = forms.standardised(layer, axes, eps=_EPS, inside=True)
        return [layer.top(layer.add("Add", layer.add("Mul", name, scale), shift))]

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Write what torch calls it."""
        if len(layer.tops) > 1:
            raise layer.refuse(FORMAT, "it shows the statistics of the batch")
        (x,) = code.inputs(layer)
        shape = layer.shapes[0]
        kind = f"nn.BatchNorm{max(len(shape) - 2, 1)}d"
        words = f"{shape[1]}, eps={_EPS}, track_running_stats=False"
        call = code.module(layer, f"{kind}({words})")
        if self._folded:
            axes = ", ".join(["-1", *["1"] * (len(shape) - 2)])
            code.assign(
                layer, f"{x} * {call}.weight.view({axes}) + {call}.bias.view({axes})"
            )
        else:
            code.assign(layer, f"{call}({x})")

    def to_torch_blobs(self, blobs: Sequence[Array]) -> list[Array]:
        """Give vectors."""
        return [blob.ravel() for blob in blobs]
