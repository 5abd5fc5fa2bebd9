"""Which kernel filters over two axes: Winograd's, oneDNN's fused one, or torch's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import torch
from torch.nn import functional

from caffe.engine.common import computes_bfloat16
from caffe.engine.kernels import onednn, plain, winograd
from caffe.engine.kernels.plain import Options as Options
from caffe.engine.packing import Packing


def convolve(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    options: Options,
    packing: Packing,
) -> torch.Tensor:
    """Filter (N, C, Y, X) in the type of `x`, with gradients where they are recorded.

    Parameters
    ----------
    weight : torch.Tensor of float32, shape (K, C / group, kernel...)
    bias : torch.Tensor of float32, shape (K,), or None
    packing : Packing
        Of the layer; the weights are its parameter 0.
    """
    x, options = plain.widened(x, weight.shape[2:], options)
    if torch.is_grad_enabled():
        return _recorded(x, weight, bias, options)
    if _minimal(x, weight, options):
        changed = packing.get(
            0, "winograd", None, lambda: winograd.change_weights(weight)
        )
        return winograd.convolve(
            x,
            changed,
            bias,
            channels=len(weight),
            pad=options.pad,
            slope=options.slope,
        )
    if _packs(x, weight, options):
        return _packed(x, weight, bias, options, packing)
    return _rectified(plain.convolve(x, weight, bias, options), options.slope)


def workspace(
    shape: Sequence[int], weight_shape: Sequence[int], options: Options
) -> tuple[int, int]:
    """Bytes that a float32 convolution without gradients keeps, and takes at a time."""
    padded = 0
    if plain.lies_beyond(weight_shape[2:], options):
        sizes = zip(shape[2:], options.pad, strict=True)
        shape = (*shape[:2], *(n + 2 * p for n, p in sizes))
        padded, options = 4 * prod(shape), replace(options, pad=(0, 0))
    if _is_minimal(weight_shape, options) and winograd.suits(
        shape, weight_shape, options.pad
    ):
        lasting, passing = winograd.workspace(shape, weight_shape, options.pad)
        return lasting, passing + padded
    return 4 * prod(weight_shape), padded


def _packs(x: torch.Tensor, weight: torch.Tensor, options: Options) -> bool:
    """Whether oneDNN can compute this from weights that are laid out for it."""
    if x.device.type != "cpu" or not x.numel() or not onednn.available():
        return False
    known = x.dtype is not torch.bfloat16 or computes_bfloat16()
    return known and not plain.is_doubtful(x, weight, x.shape[2:], options)


def _is_minimal(weight_shape: Sequence[int], options: Options) -> bool:
    """Whether Winograd's filtering can compute this."""
    ones = {*options.stride, *options.dilation, options.group} == {1}
    return ones and tuple(weight_shape[2:]) == (3, 3)


def _minimal(x: torch.Tensor, weight: torch.Tensor, options: Options) -> bool:
    """Whether Winograd's filtering can compute this, and is faster."""
    plain = x.dtype is torch.float32 and x.device.type == "cpu"
    return (
        plain
        and _is_minimal(weight.shape, options)
        and winograd.suits(x.shape, weight.shape, options.pad)
    )


def _recorded(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    options: Options,
) -> torch.Tensor:
    if _minimal(x, weight, options):
        return winograd.convolve_differentiably(
            x, weight, bias, pad=options.pad, slope=options.slope
        )
    return _rectified(plain.convolve(x, weight, bias, options), options.slope)


def _packed(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    options: Options,
    packing: Packing,
) -> torch.Tensor:
    shape = tuple(x.shape)
    packed = packing.get(
        0,
        "onednn",
        (shape, x.dtype, options),
        lambda: onednn.pack_kernels(
            weight.to(x.dtype),
            shape,
            stride=options.stride,
            pad=options.pad,
            dilation=options.dilation,
            group=options.group,
        ),
    )
    return onednn.convolve(
        x,
        packed,
        None if bias is None else bias.to(x.dtype),
        stride=options.stride,
        pad=options.pad,
        dilation=options.dilation,
        group=options.group,
        slope=options.slope,
    )


def _rectified(y: torch.Tensor, slope: float | None) -> torch.Tensor:
    if slope is None:
        return y
    return functional.leaky_relu_(y, slope) if slope else functional.relu_(y)
