"""Oracles for single layers, straight on the operators: no net is involved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import text_format

import caffe.engine.layers  # noqa: F401 (fills the catalogue)
from caffe.engine.fillers import fill
from caffe.engine.layer import Context, Operator, layer_class
from caffe.proto import caffe_pb2

REFERENCE = Path(__file__).parents[1] / "reference" / "layers"
FORWARD, BACKWARD = 1e-5, 1e-4
Bottom = tuple[int, ...] | np.ndarray | torch.Tensor


def make_context(*, train: bool = False, gpu: bool = False, seed: int = 0) -> Context:
    """Context of a layer 'x'; its log lines are collected in ``context.lines``."""
    lines: list[tuple[str, str]] = []
    context = Context(
        layer_name="x",
        train=train,
        gpu=gpu,
        device=torch.device("cpu"),
        generator=torch.Generator().manual_seed(seed),
        rng=np.random.default_rng(seed),
        log=lambda source, text: lines.append((source, text)),
        shape_of=lambda name: (),
    )
    context.lines = lines  # type: ignore[attr-defined]
    return context


def make_layer(
    type_name: str,
    options: str = "",
    *,
    bottoms: int = 1,
    tops: int = 1,
    context: Context | None = None,
) -> Operator:
    """Operator of a layer whose options are given as prototxt text."""
    param = caffe_pb2.LayerParameter(name="x", type=type_name)
    text_format.Parse(options, param)
    if not param.bottom:
        param.bottom.extend(f"b{i}" for i in range(bottoms))
    if not param.top:
        param.top.extend(f"t{i}" for i in range(tops))
    return layer_class(type_name)(param, context or make_context())


def as_tensor(bottom: Bottom, seed: int = 0) -> torch.Tensor:
    """Take a tensor as it is, an array as float32, a shape as normal numbers."""
    if isinstance(bottom, torch.Tensor):
        return bottom
    if isinstance(bottom, np.ndarray):
        return torch.from_numpy(bottom.astype(np.float32))
    return torch.randn(bottom, generator=torch.Generator().manual_seed(seed))


def shapes_of(
    type_name: str, options: str, bottoms: Sequence[tuple[int, ...]], tops: int = 1
) -> list[tuple[int, ...]]:
    """Shapes of the tops for shapes of the bottoms."""
    layer = make_layer(type_name, options, bottoms=len(bottoms), tops=tops)
    layer.parameters(bottoms)
    return layer.shapes(bottoms)


def run_layer(
    type_name: str,
    options: str,
    bottoms: Sequence[Bottom],
    *,
    tops: int = 1,
    context: Context | None = None,
) -> list[torch.Tensor]:
    """Tops of one forward, with parameters as their fillers set them."""
    context = context or make_context()
    tensors = [as_tensor(bottom, i) for i, bottom in enumerate(bottoms)]
    layer = make_layer(
        type_name, options, bottoms=len(bottoms), tops=tops, context=context
    )
    return forward(layer, tensors, context)


def forward(
    layer: Operator, bottoms: list[torch.Tensor], context: Context
) -> list[torch.Tensor]:
    """One forward as the net does it: parameters, shapes, tops."""
    shapes = [tuple(bottom.shape) for bottom in bottoms]
    generator = torch.Generator().manual_seed(1)
    params = [
        fill(spec.filler, spec.shape, generator) for spec in layer.parameters(shapes)
    ]
    layer.shapes(shapes)
    return layer.forward(bottoms, params, context)


def check_layer(
    type_name: str,
    options: str,
    bottoms: Sequence[Bottom],
    tops: Sequence[tuple[int, ...]],
    params: Sequence[tuple[int, ...]] = (),
) -> None:
    """Shapes are as given, before and after a forward; bottoms stay as they were.

    With channels-last bottoms the tops are the same numbers.
    """
    context = make_context()
    layer = make_layer(
        type_name, options, bottoms=len(bottoms), tops=len(tops), context=context
    )
    tensors = [as_tensor(bottom, i) for i, bottom in enumerate(bottoms)]
    before = [tensor.clone() for tensor in tensors]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    assert [spec.shape for spec in layer.parameters(shapes)] == list(params)
    assert layer.shapes(shapes) == list(tops)
    got = forward(layer, tensors, context)
    assert [tuple(top.shape) for top in got] == list(tops)
    for tensor, old in zip(tensors, before, strict=True):
        assert torch.equal(tensor, old), "a bottom was written to"
    last = [channels_last(tensor) for tensor in tensors]
    for top, other in zip(got, forward(layer, last, context), strict=True):
        torch.testing.assert_close(other, top)


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers with the channels innermost in memory."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    if tensor.dim() not in formats:
        return tensor
    return tensor.contiguous(memory_format=formats[tensor.dim()])


def check_gradient(
    type_name: str,
    options: str,
    bottoms: Sequence[Bottom],
    *,
    tops: int = 1,
    train: bool = False,
) -> None:
    """Gradients agree with finite differences in float64.

    Of the first top, with respect to the bottoms that may have one and the parameters.
    """
    layer = make_layer(type_name, options, bottoms=len(bottoms), tops=tops)
    wanted = layer.differentiable_bottoms
    tensors = []
    for i, bottom in enumerate(bottoms):
        tensor = as_tensor(bottom, i).double()
        tensors.append(tensor.requires_grad_(wanted is None or i in wanted))
    specs = layer.parameters([tuple(tensor.shape) for tensor in tensors])
    params = [as_tensor(spec.shape, 9).double().requires_grad_() for spec in specs]

    def function(*values: torch.Tensor) -> torch.Tensor:
        inputs, weights = values[: len(tensors)], values[len(tensors) :]
        context = make_context(train=train)
        return layer.forward(list(inputs), list(weights), context)[0]

    assert torch.autograd.gradcheck(function, (*tensors, *params))


def check_reference(name: str) -> None:
    """Agree with stored numbers of the original Caffe, forward and gradient."""
    case = np.load(REFERENCE / f"{name}.npz")
    net = caffe_pb2.NetParameter()
    text_format.Parse(str(case["prototxt"]), net)
    (param,) = (layer for layer in net.layer if layer.name == "under_test")
    context = make_context(train=str(case["phase"]) == "TRAIN")
    layer = layer_class(param.type)(param, context)
    bottoms = [_stored(case, f"in.{name}") for name in param.bottom]
    params = [_stored(case, f"param.{i}") for i in range(_count(case, "param."))]
    shapes = [tuple(bottom.shape) for bottom in bottoms]
    assert [spec.shape for spec in layer.parameters(shapes)] == [
        tuple(value.shape) for value in params
    ]
    assert layer.shapes(shapes) == [case[f"out.{top}"].shape for top in param.top]
    tops = layer.forward(bottoms, params, context)
    for top, value in zip(param.top, tops, strict=True):
        _assert_near(value, case[f"out.{top}"], FORWARD, f"out.{top}")
    if json.loads(str(case["meta"]))["backward"]:
        diffs = [torch.from_numpy(case[f"top_diff.{top}"]) for top in param.top]
        torch.autograd.backward(tops, diffs)
        for blob, bottom in zip(param.bottom, bottoms, strict=True):
            if f"in_diff.{blob}" in case.files:
                _assert_near(bottom.grad, case[f"in_diff.{blob}"], BACKWARD, blob)
        for i, value in enumerate(params):
            _assert_near(value.grad, case[f"param_diff.{i}"], BACKWARD, f"param {i}")


def _stored(case: Any, key: str) -> torch.Tensor:
    return torch.from_numpy(case[key].copy()).requires_grad_()


def _count(case: Any, prefix: str) -> int:
    return sum(key.startswith(prefix) for key in case.files)


def _assert_near(
    got: torch.Tensor | None, want: np.ndarray, tolerance: float, what: str
) -> None:
    assert got is not None, f"{what}: no value"
    value = got.detach().double().numpy()
    assert value.shape == want.shape, f"{what}: {value.shape}, Caffe has {want.shape}"
    off = np.linalg.norm(value - want) / max(np.linalg.norm(want), 1e-6)
    assert off <= tolerance, f"{what} is off by {off:.1e}"
