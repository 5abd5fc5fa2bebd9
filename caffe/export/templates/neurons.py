"""Layers that map each element by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from caffe.export.layers import Layer
from caffe.export.templates.code import Code, Template, affine, number
from caffe.proto import caffe_pb2

_BNLL_THRESHOLD = 50


def _mapped(expression: Callable[[str, Any], str]) -> Template:
    def template(layer: Layer, code: Code) -> None:
        (x,) = code.inputs(layer)
        code.assign(layer, expression(x, layer.param))

    return template


def _relu(x: str, param: Any) -> str:
    slope = param.relu_param.negative_slope
    return f"F.leaky_relu({x}, {number(slope)})" if slope else f"F.relu({x})"


def _swish(x: str, param: Any) -> str:
    beta = param.swish_param.beta
    gate = affine(x, beta, 0)
    return f"F.silu({x})" if beta == 1 else f"{x} * torch.sigmoid({gate})"


def _clip(x: str, param: Any) -> str:
    low, high = param.clip_param.min, param.clip_param.max
    return f"{x}.clamp({number(low)}, {number(max(low, high))})"


def _exp(x: str, param: Any) -> str:
    options = param.exp_param
    exponent = affine(x, options.scale, options.shift)
    if options.base == -1:
        return f"torch.exp({exponent})"
    return f"{number(options.base)} ** ({exponent})"


def _log(x: str, param: Any) -> str:
    options = param.log_param
    logarithm = f"torch.log({affine(x, options.scale, options.shift)})"
    if options.base == -1:
        return logarithm
    return f"{logarithm} / {float(np.log(options.base))}"


def _power(x: str, param: Any) -> str:
    options = param.power_param
    base = affine(x, options.scale, options.shift)
    if options.power * options.scale == 0:
        value = np.float32(options.shift) ** np.float32(options.power)
        return f"torch.full_like({x}, {number(float(value))})"
    if options.power == 1:
        return base
    return f"({base}) ** {number(options.power)}"


def _dropout(x: str, param: Any) -> str:
    ratio = number(param.dropout_param.dropout_ratio)
    when = "True" if param.phase == caffe_pb2.TRAIN else "self.training"
    return f"F.dropout({x}, {ratio}, {when})"


TEMPLATES: dict[str, Template] = {
    "AbsVal": _mapped(lambda x, _: f"{x}.abs()"),
    "BNLL": _mapped(lambda x, _: f"F.softplus({x}, threshold={_BNLL_THRESHOLD})"),
    "Clip": _mapped(_clip),
    "Dropout": _mapped(_dropout),
    "ELU": _mapped(lambda x, p: f"F.elu({x}, {number(p.elu_param.alpha)})"),
    "Exp": _mapped(_exp),
    "GradientReversal": _mapped(lambda x, _: x),
    "Log": _mapped(_log),
    "Power": _mapped(_power),
    "ReLU": _mapped(_relu),
    "Sigmoid": _mapped(lambda x, _: f"torch.sigmoid({x})"),
    "Swish": _mapped(_swish),
    "TanH": _mapped(lambda x, _: f"torch.tanh({x})"),
    "Threshold": _mapped(
        lambda x, p: f"({x} > {number(p.threshold_param.threshold)}).type_as({x})"
    ),
}
