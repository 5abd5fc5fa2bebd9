"""Oracles for single layers, straight on the operators: no net is involved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import text_format

from caffe.engine.catalogue import layer_class
from caffe.engine.fillers import fill
from caffe.engine.layer import Context, Operator
from caffe.proto import caffe_pb2
from tests.support.stored import load_arrays

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
        log=lambda source, text, *_, **__: lines.append((source, text)),
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
    return layer_class(type_name, param)(param, context or make_context())


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


def loss_and_gradients(
    type_name: str, options: str, bottoms: Sequence[Bottom], top_diff: float = 1.0
) -> tuple[float, list[np.ndarray]]:
    """Loss, and the gradients of the bottoms that may have one."""
    tensors = [as_tensor(bottom, i).clone() for i, bottom in enumerate(bottoms)]
    wanted = layer_class(type_name).differentiable_bottoms or ()
    for i in wanted:
        tensors[i].requires_grad_()
    (loss,) = run_layer(type_name, options, tensors)
    loss.backward(torch.tensor(top_diff))
    return loss.item(), [tensors[i].grad.numpy() for i in wanted]


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
    params = [
        as_tensor(spec.shape, 9).double().requires_grad_(not spec.statistics)
        for spec in specs
    ]

    def function(*values: torch.Tensor) -> torch.Tensor:
        inputs, weights = values[: len(tensors)], values[len(tensors) :]
        context = make_context(train=train)
        return layer.forward(list(inputs), list(weights), context)[0]

    assert torch.autograd.gradcheck(function, (*tensors, *params))


def check_reference(name: str) -> None:
    """Agree with stored numbers of the original Caffe, forward and gradient."""
    case = load_arrays(REFERENCE / f"{name}.npz")
    net = caffe_pb2.NetParameter()
    text_format.Parse(str(case["prototxt"]), net)
    (param,) = (layer for layer in net.layer if layer.name == "under_test")
    context = make_context(train=str(case["phase"]) == "TRAIN")
    layer = layer_class(param.type)(param, context)
    bottoms = [_stored(case, "in", name) for name in param.bottom]
    params = [_stored(case, "param", i) for i in range(_count(case, "param."))]
    shapes = [tuple(bottom.shape) for bottom in bottoms]
    specs = layer.parameters(shapes)
    assert [spec.shape for spec in specs] == [tuple(value.shape) for value in params]
    for spec, value in zip(specs, params, strict=True):
        value.requires_grad_(value.requires_grad and not spec.statistics)
    if param.type != "Filter":  # its top's size depends on values
        assert layer.shapes(shapes) == [case[f"out.{top}"].shape for top in param.top]
    tops = layer.forward(bottoms, params, context)
    for top, value in zip(param.top, tops, strict=True):
        _assert_near(value, case[f"out.{top}"], FORWARD, f"out.{top}")
    if json.loads(str(case["meta"]))["backward"]:
        diffs = [torch.from_numpy(case[f"top_diff.{top}"]) for top in param.top]
        if net.force_backward:  # else nobody needs a gradient: they all stay 0
            torch.autograd.backward(tops, diffs)
        blobs = [f"in_diff.{blob}" for blob in param.bottom]
        _check_gradients(case, dict(zip(blobs, bottoms, strict=True)))
        _check_gradients(case, {f"param_diff.{i}": v for i, v in enumerate(params)})
    for i, value in enumerate(params):
        if f"param_after.{i}" in case:
            _assert_near(value, case[f"param_after.{i}"], FORWARD, f"param {i} after")


def _check_gradients(case: Any, values: dict[str, torch.Tensor]) -> None:
    for key, value in values.items():
        if value.requires_grad:
            got = torch.zeros_like(value) if value.grad is None else value.grad
            _assert_near(got, case[key], BACKWARD, key)


def _stored(case: Any, kind: str, key: str | int) -> torch.Tensor:
    tensor = torch.from_numpy(case[f"{kind}.{key}"].copy())
    return tensor.requires_grad_(f"{kind}_diff.{key}" in case)


def _count(case: Any, prefix: str) -> int:
    return sum(key.startswith(prefix) for key in case)


def _assert_near(
    got: torch.Tensor | None, want: np.ndarray, tolerance: float, what: str
) -> None:
    assert got is not None, f"{what}: no value"
    value = got.detach().double().numpy()
    assert value.shape == want.shape, f"{what}: {value.shape}, Caffe has {want.shape}"
    off = np.linalg.norm(value - want) / max(np.linalg.norm(want), 1e-6)
    assert off <= tolerance, f"{what} is off by {off:.1e}"
