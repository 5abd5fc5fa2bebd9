"""Which kernel filters over two axes: Winograd's, oneDNN's fused one, or torch's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch.nn import functional

from caffe.engine.kernels import onednn, winograd
from caffe.engine.packing import Packing


@dataclass(frozen=True)
class Options:
    """Pixels along (Y, X), groups of channels, and a rectifier behind, or None."""

    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    group: int
    slope: float | None = None


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
    if x.device.type == "cpu" and x.numel() and onednn.available():
        return _packed(x, weight, bias, options, packing)
    return _rectified(_plain(x, weight, bias, options), options.slope)


def workspace(
    shape: Sequence[int], weight_shape: Sequence[int], options: Options
) -> tuple[int, int]:
    """Bytes that a float32 convolution without gradients keeps, and takes at a time."""
    if _is_minimal(weight_shape, options) and winograd.suits(
        shape, weight_shape, options.pad
    ):
        return winograd.workspace(shape, weight_shape, options.pad)
    return 4 * prod(weight_shape), 0


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
    return _rectified(_plain(x, weight, bias, options), options.slope)


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


def _plain(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    options: Options,
) -> torch.Tensor:
    return functional.conv2d(
        x,
        weight.to(x.dtype),
        None if bias is None else bias.to(x.dtype),
        options.stride,
        options.pad,
        options.dilation,
        options.group,
    )


def _rectified(y: torch.Tensor, slope: float | None) -> torch.Tensor:
    if slope is None:
        return y
    return functional.leaky_relu_(y, slope) if slope else functional.relu_(y)
