"""Layers that combine blobs, or sum up and pick along axes."""

from __future__ import annotations

from caffe.export import parts
from caffe.export.layers import Layer
from caffe.export.templates.code import Code, Template, affine


def _eltwise(layer: Layer, code: Code) -> None:
    options = layer.param.eltwise_param
    inputs = code.inputs(layer)
    if options.operation == options.SUM:
        factors = list(options.coeff) or [1.0] * len(inputs)
        expression = affine(inputs[0], factors[0], 0)
        for x, factor in zip(inputs[1:], factors[1:], strict=True):
            sign = "-" if factor < 0 else "+"
            expression += f" {sign} {affine(x, abs(factor), 0)}"
    elif options.operation == options.PROD:
        expression = " * ".join(inputs)
    else:
        expression = inputs[0]
        for x in inputs[1:]:
            expression = f"torch.maximum({expression}, {x})"
    code.assign(layer, expression)


def _softmax(layer: Layer, code: Code) -> None:
    (x,) = code.inputs(layer)
    code.assign(layer, f"{x}.softmax({layer.param.softmax_param.axis})")


def _reduction(layer: Layer, code: Code) -> None:
    options = layer.param.reduction_param
    (x,) = code.inputs(layer)
    element = {options.ASUM: f"{x}.abs()", options.SUMSQ: f"{x}.square()"}
    axis = layer.axis(options.axis)
    flat = element.get(options.operation, x)
    flat += f".flatten({axis})" if axis < len(layer.shapes[0]) - 1 else ""
    method = "mean" if options.operation == options.MEAN else "sum"
    reduced = f"{flat}.{method}(-1)"
    code.assign(layer, affine(reduced, options.coeff, 0))


def _arg_max(layer: Layer, code: Code) -> None:
    options = layer.param.argmax_param
    (x,) = code.inputs(layer)
    (y,) = code.outputs(layer)
    part = code.part(parts.greatest)
    if options.HasField("axis"):
        words = f"{x}, {options.top_k}, {layer.axis(options.axis)}"
        code.lines.append(f"values, places = {part}({words})")
        code.assign(layer, "values" if options.out_max_val else "places")
        return
    flat = f"{x}.flatten(1)" if len(layer.shapes[0]) > 1 else f"{x}[:, None]"
    code.lines.append(f"values, places = {part}({flat}, {options.top_k}, 1)")
    both = "places, values" if options.out_max_val else "places"
    behind = len(layer.top_shapes[0]) - 3
    ones = f"[(..., {'None, ' * behind})]" if behind else ""
    code.lines.append(f"{y} = torch.stack([{both}], 1){ones}")


def _batch_reindex(layer: Layer, code: Code) -> None:
    x, index = code.inputs(layer)
    code.assign(layer, f"{x}.index_select(0, {index}.long())")


TEMPLATES: dict[str, Template] = {
    "ArgMax": _arg_max,
    "BatchReindex": _batch_reindex,
    "Eltwise": _eltwise,
    "Reduction": _reduction,
    "Softmax": _softmax,
}
