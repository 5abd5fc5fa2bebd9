"""Layers with weights that are no windows, and fixed scalings of channels."""

from __future__ import annotations

from caffe.export import parts
from caffe.export.layers import Layer
from caffe.export.templates.code import FORMAT, Code, Template, affine, number

_BATCH_NORMS = {2: "BatchNorm1d", 3: "BatchNorm1d", 4: "BatchNorm2d", 5: "BatchNorm3d"}


def _inner_product(layer: Layer, code: Code) -> None:
    options = layer.param.inner_product_param
    (x,) = code.inputs(layer)
    axis = layer.axis(options.axis)
    inputs = layer.blobs[0].size // options.num_output
    bias = "" if options.bias_term else ", bias=False"
    call = code.module(layer, f"nn.Linear({inputs}, {options.num_output}{bias})")
    flat = x if axis == len(layer.shapes[0]) - 1 else f"{x}.flatten({axis})"
    code.assign(layer, f"{call}({flat})")


def _embed(layer: Layer, code: Code) -> None:
    options = layer.param.embed_param
    (x,) = code.inputs(layer)
    sizes = f"{options.input_dim}, {options.num_output}, bias={options.bias_term}"
    call = code.module(layer, f"{code.part(parts.Embed)}({sizes})")
    code.assign(layer, f"{call}({x})")


def _batch_norm(layer: Layer, code: Code) -> None:
    options = layer.param.batch_norm_param
    (x,) = code.inputs(layer)
    shape = layer.shapes[0]
    if len(shape) not in _BATCH_NORMS:
        raise layer.refuse(FORMAT, f"bottom 0 has {len(shape)} axes, 2 to 5 have one")
    kind = f"nn.{_BATCH_NORMS[len(shape)]}"
    call = code.module(
        layer, f"{kind}({shape[1]}, eps={number(options.eps)}, affine=False)"
    )
    if options.HasField("use_global_stats") and not options.use_global_stats:
        call = (
            f"F.batch_norm({x}, None, None, training=True, eps={number(options.eps)})"
        )
        code.assign(layer, call)
        return
    code.assign(layer, f"{call}({x})")


def _scale(layer: Layer, code: Code) -> None:
    bias = layer.param.scale_param.bias_term
    x, *operands = code.inputs(layer)
    if not operands:
        shape, behind = layer.blobs[0].shape, _behind(layer, layer.blobs[0].ndim)
        part = code.part(parts.Scale)
        call = code.module(layer, f"{part}({shape}, {behind}, bias={bias})")
        code.assign(layer, f"{call}({x})")
        return
    product = f"{x} * {_aligned(layer, operands[0])}"
    if bias:
        product = f"{_bias_module(layer, code)}({product})"
    code.assign(layer, product)


def _bias(layer: Layer, code: Code) -> None:
    x, *operands = code.inputs(layer)
    if operands:
        code.assign(layer, f"{x} + {_aligned(layer, operands[0])}")
    else:
        code.assign(layer, f"{_bias_module(layer, code)}({x})")


def _bias_module(layer: Layer, code: Code) -> str:
    shape = layer.blobs[-1].shape
    part = code.part(parts.Bias)
    return code.module(layer, f"{part}({shape}, {_behind(layer, len(shape))})")


def _aligned(layer: Layer, operand: str) -> str:
    """Let bottom 1 broadcast against bottom 0."""
    axes = len(layer.shapes[1])
    behind = _behind(layer, axes)
    return f"{operand}[(..., {'None, ' * behind})]" if behind and axes else operand


def _behind(layer: Layer, axes: int) -> int:
    """Count the axes of bottom 0 behind those of an operand."""
    if not axes:
        return 0
    options = (
        layer.param.scale_param if layer.type == "Scale" else layer.param.bias_param
    )
    return len(layer.shapes[0]) - layer.axis(options.axis) - axes


def _prelu(layer: Layer, code: Code) -> None:
    (x,) = code.inputs(layer)
    call = code.module(layer, f"nn.PReLU({layer.blobs[0].size})")
    code.assign(layer, f"{call}({x})")


def _value_transformation(layer: Layer, code: Code) -> None:
    options = layer.param.value_transformation_param
    (x,) = code.inputs(layer)
    offset, scale = list(options.offset.v) or [0.0], list(options.scale.v) or [1.0]
    if len(offset) == len(scale) == 1:
        moved = affine(x, 1, offset[0])
        code.assign(
            layer, moved if scale[0] == 1 else f"({moved}) * {number(scale[0])}"
        )
        return
    words = ", ".join(
        f"[{', '.join(map(number, values))}]" for values in (offset, scale)
    )
    behind = len(layer.shapes[0]) - 2
    part = code.part(parts.Transformation)
    call = code.module(layer, f"{part}({words}, {behind})")
    code.assign(layer, f"{call}({x})")


TEMPLATES: dict[str, Template] = {
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Embed": _embed,
    "InnerProduct": _inner_product,
    "PReLU": _prelu,
    "Scale": _scale,
    "ValueTransformation": _value_transformation,
}
