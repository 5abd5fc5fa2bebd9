"""Layers that map each element by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Half, Operator, Shape, Tensors
from caffe.engine.onnx.graph import Value
from caffe.engine.onnx.layer import Layer as OnnxLayer
from caffe.engine.torch_code.code import Code, affine, number
from caffe.engine.torch_code.layer import Layer as TorchLayer
from caffe.errors import CheckError, NoCounterpartError

_BNLL_THRESHOLD = 50  # beyond it the exponential is not computed


class NeuronLayer(Operator):
    """One bottom, one top of the same shape."""

    pointwise = True

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Shape of the bottom."""
        return list(bottom_shapes)

    def torch_expression(self, x: str) -> str:
        """Write the top as an expression of torch, `x` being the bottom's variable."""
        raise NoCounterpartError(f"{self.type} has no counterpart in torch")

    def to_torch(self, layer: TorchLayer, code: Code) -> None:
        """Assign the expression to the top."""
        (x,) = code.inputs(layer)
        code.assign(layer, self.torch_expression(x))


@register("ReLU")
class ReLULayer(NeuronLayer):
    """Rectified linear unit: ``max(0, x) + negative_slope * min(0, x)``.

    Options (``relu_param``)
        negative_slope : float, default 0.

    The gradient at 0 is ``negative_slope``.
    """

    capturable = True
    half = Half.PASSES

    def setup(self, param: Any, context: Context) -> None:
        """Read the slope."""
        self.slope = self.rectifier_slope = float(param.relu_param.negative_slope)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Rectify into new memory."""
        if self.slope == 0:
            return [functional.relu(bottoms[0])]
        return [functional.leaky_relu(bottoms[0], self.slope)]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Rectify, and overwrite the bottom where the gradient allows it."""
        if self.slope == 0:
            return functional.relu_(bottom)
        # with a negative slope the sign of the top no longer tells that of the bottom
        return functional.leaky_relu(bottom, self.slope, inplace=self.slope > 0)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Relu, or LeakyRelu with a slope."""
        if self.slope == 0:
            return [layer.top(layer.add("Relu", layer.bottom))]
        return [layer.top(layer.add("LeakyRelu", layer.bottom, alpha=self.slope))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        slope = self.param.relu_param.negative_slope
        return f"F.leaky_relu({x}, {number(slope)})" if slope else f"F.relu({x})"


@register("ELU")
class ELULayer(NeuronLayer):
    """Exponential linear unit: ``x`` above 0, else ``alpha * (exp(x) - 1)``.

    Options (``elu_param``)
        alpha : float, default 1.

    The gradient at 0 is ``alpha``.
    """

    capturable = True

    def setup(self, param: Any, context: Context) -> None:
        """Read alpha."""
        self.alpha = float(param.elu_param.alpha)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Map into new memory."""
        return [functional.elu(bottoms[0], self.alpha)]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Map, and overwrite the bottom where the gradient allows it."""
        # with a negative alpha the sign of the top no longer tells that of the bottom
        return functional.elu(bottom, self.alpha, inplace=self.alpha >= 0)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Elu."""
        return [layer.top(layer.add("Elu", layer.bottom, alpha=self.alpha))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        return f"F.elu({x}, {number(self.param.elu_param.alpha)})"


@register("Sigmoid")
class SigmoidLayer(NeuronLayer):
    """Logistic function: ``1 / (1 + exp(-x))``."""

    probabilities = True
    capturable = True

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Map into new memory."""
        return [torch.sigmoid(bottoms[0])]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Map, and overwrite the bottom."""
        return torch.sigmoid_(bottom)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Sigmoid."""
        return [layer.top(layer.add("Sigmoid", layer.bottom))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        return f"torch.sigmoid({x})"


@register("TanH")
class TanHLayer(NeuronLayer):
    """Hyperbolic tangent."""

    capturable = True

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Map into new memory."""
        return [torch.tanh(bottoms[0])]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Map, and overwrite the bottom."""
        return torch.tanh_(bottom)

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Tanh."""
        return [layer.top(layer.add("Tanh", layer.bottom))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        return f"torch.tanh({x})"


@register("Swish")
class SwishLayer(NeuronLayer):
    """Multiply by a logistic gate: ``x / (1 + exp(-beta * x))``.

    Options (``swish_param``)
        beta : float, default 1.
    """

    capturable = True
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read beta."""
        self.beta = float(param.swish_param.beta)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Gate."""
        (x,) = bottoms
        if self.beta == 1:
            return [functional.silu(x)]
        return [x * torch.sigmoid(self.beta * x)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Multiply by a Sigmoid."""
        gate = layer.add("Sigmoid", layer.scaled(layer.bottom, self.beta))
        return [layer.top(layer.add("Mul", layer.bottom, gate))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        beta = self.param.swish_param.beta
        gate = affine(x, beta, 0)
        return f"F.silu({x})" if beta == 1 else f"{x} * torch.sigmoid({gate})"


@register("BNLL")
class BNLLLayer(NeuronLayer):
    """Binomial normal log likelihood: ``log(1 + exp(x))``."""

    capturable = True
    backward_needs_top = False

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Map."""
        return [functional.softplus(bottoms[0], threshold=_BNLL_THRESHOLD)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Softplus."""
        return [layer.top(layer.add("Softplus", layer.bottom))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        return f"F.softplus({x}, threshold={_BNLL_THRESHOLD})"


@register("AbsVal")
class AbsValLayer(NeuronLayer):
    """Absolute value. The top may not be the bottom; the gradient at 0 is 0."""

    capturable = True
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Refuse to work in place."""
        if param.bottom[0] == param.top[0]:
            raise CheckError(
                f"bottom and top are both '{param.top[0]}': "
                "AbsVal Layer does not allow in-place computation, expected a top "
                "of another name"
            )

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Take the absolute value."""
        return [bottoms[0].abs()]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Abs."""
        return [layer.top(layer.add("Abs", layer.bottom))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        return f"{x}.abs()"


@register("Clip")
class ClipLayer(NeuronLayer):
    """Limit to a range: ``max(min, min(x, max))``.

    Options (``clip_param``)
        min, max : float; both must be given. Without ``clip_param`` both are 0.

    The gradient passes within the range and at its ends, and is 0 outside.
    """

    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the range."""
        options = param.clip_param
        for name in ("min", "max"):
            if param.HasField("clip_param") and not options.HasField(name):
                raise CheckError(f"clip_param has no {name}: min and max are needed")
        self.low = float(options.min)
        # Caffe answers min where max is below it, torch would answer max
        self.high = max(self.low, float(options.max))

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Limit."""
        return [bottoms[0].clamp(self.low, self.high)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Clip."""
        low = layer.floats(self.low, "min")
        high = layer.floats(self.high, "max")
        return [layer.top(layer.add("Clip", layer.bottom, low, high))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        low, high = self.param.clip_param.min, self.param.clip_param.max
        return f"{x}.clamp({number(low)}, {number(max(low, high))})"


@register("Threshold")
class ThresholdLayer(NeuronLayer):
    """1 above a threshold, else 0. There is no gradient.

    Options (``threshold_param``)
        threshold : float, default 0.
    """

    differentiable_bottoms = ()
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the threshold."""
        self.threshold = float(param.threshold_param.threshold)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Compare."""
        return [(bottoms[0] > self.threshold).to(bottoms[0].dtype)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Compare, and turn what is true into 1."""
        limit = layer.floats(self.threshold, "threshold")
        above = layer.add("Greater", layer.bottom, limit)
        return [layer.top(layer.to_float(above))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        return f"({x} > {number(self.param.threshold_param.threshold)}).type_as({x})"


def _affine(x: torch.Tensor, scale: float, shift: float) -> torch.Tensor:
    return (x * scale).add_(shift)


def _natural_log(base: float) -> float:
    """Logarithm of a base, where -1 stands for e."""
    if base == -1:
        return 1.0
    if not 0 < base < math.inf:
        raise CheckError(
            f"base is {base:g}: base must be strictly positive, or -1, which means e"
        )
    return math.log(base)


@register("Exp")
class ExpLayer(NeuronLayer):
    """Exponential: ``base ** (shift + scale * x)``.

    Options (``exp_param``)
        base : float above 0, default -1, which means e.
        scale : float, default 1.
        shift : float, default 0.
    """

    capturable = True

    def setup(self, param: Any, context: Context) -> None:
        """Turn the base into factors of an exponent of e."""
        options = param.exp_param
        log_base = _natural_log(options.base)
        self.scale = log_base * options.scale
        self.shift = log_base * options.shift

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Map into new memory."""
        return [_affine(bottoms[0], self.scale, self.shift).exp_()]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Map, and overwrite the bottom."""
        return bottom.mul_(self.scale).add_(self.shift).exp_()

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Exp of the scaled bottom."""
        exponent = layer.scaled(layer.bottom, self.scale, self.shift)
        return [layer.top(layer.add("Exp", exponent))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        options = self.param.exp_param
        exponent = affine(x, options.scale, options.shift)
        if options.base == -1:
            return f"torch.exp({exponent})"
        return f"{number(options.base)} ** ({exponent})"


@register("Log")
class LogLayer(NeuronLayer):
    """Logarithm to a base: ``log(shift + scale * x)``.

    Options (``log_param``)
        base : float above 0, not 1; default -1, which means e.
        scale : float, default 1.
        shift : float, default 0.
    """

    capturable = True
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Check the base."""
        options = param.log_param
        log_base = _natural_log(options.base)
        if log_base == 0:
            raise CheckError(
                "base is 1, and 1/log(1) is inf: expected another base above 0"
            )
        self.factor = 1 / log_base
        self.scale, self.shift = float(options.scale), float(options.shift)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Map."""
        return [_affine(bottoms[0], self.scale, self.shift).log().mul_(self.factor)]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Log of the scaled bottom, times a factor."""
        logarithm = layer.add("Log", layer.scaled(layer.bottom, self.scale, self.shift))
        return [layer.top(layer.scaled(logarithm, self.factor))]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        options = self.param.log_param
        logarithm = f"torch.log({affine(x, options.scale, options.shift)})"
        if options.base == -1:
            return logarithm
        return f"{logarithm} / {float(np.log(options.base))}"


@register("Power")
class PowerLayer(NeuronLayer):
    """Power: ``(shift + scale * x) ** power``.

    Options (``power_param``)
        power : float, default 1.
        scale : float, default 1.
        shift : float, default 0.

    With ``power`` or ``scale`` 0 the top is a constant, whatever the bottom, and the
    gradient 0. Where ``shift + scale * x`` is 0, Caffe's gradient is 0 / 0 for powers
    other than 1 and 2; here it is that of the power.
    """

    capturable = True
    backward_needs_top = False

    def setup(self, param: Any, context: Context) -> None:
        """Read the options."""
        options = param.power_param
        self.power = float(options.power)
        self.scale, self.shift = float(options.scale), float(options.shift)

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Map."""
        (x,) = bottoms
        if self.power * self.scale == 0:
            value = float(torch.tensor(self.shift).pow(self.power))
            everywhere = torch.ones((), dtype=torch.bool, device=x.device)
            return [x.masked_fill(everywhere, value)]
        base = _affine(x, self.scale, self.shift)
        return [base if self.power == 1 else base.pow(self.power)]

    def forward_in_place(
        self, bottom: torch.Tensor, params: Tensors, context: Context
    ) -> torch.Tensor:
        """Map, and overwrite the bottom if the power is 1."""
        if self.power == 1 and self.scale != 0:
            return bottom.mul_(self.scale).add_(self.shift)
        return self.forward([bottom], params, context)[0]

    def to_onnx(self, layer: OnnxLayer) -> list[Value]:
        """Give Pow of the scaled bottom; a constant where that is all it is."""
        if self.power * self.scale == 0:
            value = np.power(np.float32(self.shift), np.float32(self.power))
            shape = layer.add("Shape", layer.bottom)
            return [layer.top(layer.add("Expand", layer.floats(value), shape))]
        name = layer.scaled(layer.bottom, self.scale, self.shift)
        if self.power != 1:
            name = layer.add("Pow", name, layer.floats(self.power, "power"))
        return [layer.top(name)]

    def torch_expression(self, x: str) -> str:
        """Write the top."""
        options = self.param.power_param
        base = affine(x, options.scale, options.shift)
        if options.power * options.scale == 0:
            value = np.float32(options.shift) ** np.float32(options.power)
            return f"torch.full_like({x}, {number(float(value))})"
        if options.power == 1:
            return base
        return f"({base}) ** {number(options.power)}"
