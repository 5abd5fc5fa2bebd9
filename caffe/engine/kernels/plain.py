"""Torch's own convolutions over 1 to 3 axes, kept from shapes that it filters wrongly.

Found with torch 2.13.0, which brings oneDNN 3.12, on CPUs and with channels-last
bottoms; row-major ones are filtered rightly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

_FORWARD: dict[int, Callable[..., torch.Tensor]] = {
    1: functional.conv1d,
    2: functional.conv2d,
    3: functional.conv3d,
}
_TRANSPOSED: dict[int, Callable[..., torch.Tensor]] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}
MOST_AXES = max(_FORWARD)
_BLOCK = 16  # channels that AVX-512 works on at once; others take fewer


@dataclass(frozen=True)
class Options:
    """Pixels along each axis, groups of channels, and a rectifier behind, or None."""

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
    *,
    transposed: bool = False,
) -> torch.Tensor:
    """Filter (N, C, spatial...) or do the transpose; no rectifier.

    Parameters
    ----------
    weight : torch.Tensor of any type, shape (K, C / group, kernel...)
        Of the transpose (C, K / group, kernel...).
    bias : torch.Tensor of any type, shape (K,), or None
    """
    weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    kernel = weight.shape[2:]
    margins = (0,) * len(kernel)
    if transposed and lies_beyond(kernel, options):
        margins, options = options.pad, replace(options, pad=margins)
    elif not transposed:
        x, options = widened(x, kernel, options)
    sizes: Sequence[int] = x.shape[2:]
    if transposed:
        sizes = _transposed_sizes(sizes, kernel, options)
    if is_doubtful(x, weight, sizes, options):
        x, weight = _row_major(x), _row_major(weight)
    table = _TRANSPOSED if transposed else _FORWARD
    y = table[len(kernel)](
        x,
        weight,
        bias,
        stride=options.stride,
        padding=options.pad,
        dilation=options.dilation,
        groups=options.group,
    )
    for axis, margin in enumerate(margins, 2):
        y = y.narrow(axis, margin, y.shape[axis] - 2 * margin)
    return y


def widened(
    x: torch.Tensor, kernel: Sequence[int], options: Options
) -> tuple[torch.Tensor, Options]:
    """Add the padding at once if whole windows lie in it, and give what is left to do.

    Such windows end some kernels of oneDNN (its issue 5942).
    """
    if x.device.type != "cpu" or not lies_beyond(kernel, options):
        return x, options
    margins = [p for p in reversed(options.pad) for _ in range(2)]
    return functional.pad(x, margins), replace(options, pad=(0,) * len(kernel))


def lies_beyond(kernel: Sequence[int], options: Options) -> bool:
    """Whether the padding is so wide that whole windows lie in it."""
    rows = zip(kernel, options.pad, options.dilation, strict=True)
    return any(p > d * (k - 1) for k, p, d in rows)


def is_doubtful(
    x: torch.Tensor, weight: torch.Tensor, sizes: Sequence[int], options: Options
) -> bool:
    """Whether the numbers of a channels-last convolution can't be relied on.

    Parameters
    ----------
    sizes : sequence of int
        Of what the windows lie in: a convolution's bottom, a transpose's top.
    """
    if x.device.type != "cpu" or max(options.stride) == 1:
        return False
    kernel, channels = weight.shape[2:], weight.shape[1]
    if max(kernel) == 1:
        # The gradient of the weights: rows of a copy without the pixels that the
        # stride skips are taken to be a whole block of channels apart. Wrong numbers,
        # or writing past the end of the copy (oneDNN's issue 6035).
        return channels < _BLOCK
    # One channel: rows of the kernel are multiplied as vectors, with all of an image's
    # pixels at once if windows don't overlap in a row; where the stride leaves out
    # pixels at the end of the rows, these are taken to be shorter than they are.
    extent = options.dilation[-1] * (kernel[-1] - 1) + 1
    span = sizes[-1] + 2 * options.pad[-1] - extent
    return channels == 1 and (span < options.stride[-1] or extent <= options.stride[-1])


def _transposed_sizes(
    sizes: Sequence[int], kernel: Sequence[int], options: Options
) -> list[int]:
    rows = zip(
        sizes, kernel, options.stride, options.pad, options.dilation, strict=True
    )
    return [s * (n - 1) + d * (k - 1) + 1 - 2 * p for n, k, s, p, d in rows]


def _row_major(value: torch.Tensor) -> torch.Tensor:
    """Lay out a tensor, and say so in every stride.

    Of an axis of one element torch takes any stride for contiguous, and then decides
    by that stride which layout it is given.
    """
    return value.contiguous().view(-1).view(value.shape)
