"""What torch lets one call of oneDNN: products and convolutions, weights packed.

The operators are those that torch's compiler calls; they are asked for, and done
without where a build of torch lacks them. None has a gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

_OPERATORS = (
    "_linear_pointwise",
    "_reorder_linear_weight",
    "_convolution_pointwise",
)


@functools.cache
def available() -> bool:
    """Whether this torch, on this machine, has all that this module calls."""
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in _OPERATORS
    )


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Multiply (M, K) by the transpose of (N, K); twice MKL's speed on AMD.

    Parameters
    ----------
    left : torch.Tensor, shape (M, K)
    right : torch.Tensor, shape (N, K)
        May be strided, or come from `pack`.
    """
    out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
        left, right, None, "none", [], ""
    )
    return out


def pack(right: torch.Tensor, rows: int) -> torch.Tensor:
    """Lay out a right factor (N, K) for left factors of about `rows` rows."""
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(right, rows)
    return packed


def pack_kernels(
    weight: torch.Tensor,
    shape: Sequence[int],
    *,
    stride: Sequence[int],
    pad: Sequence[int],
    dilation: Sequence[int],
    group: int,
) -> torch.Tensor:
    """Lay out a convolution's weights for bottoms of a shape."""
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
    packed: torch.Tensor = reorder(
        weight.to_mkldnn(), pad, stride, dilation, group, shape
    )
    return packed


def convolve(
    x: torch.Tensor,
    packed: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    stride: Sequence[int],
    pad: Sequence[int],
    dilation: Sequence[int],
    group: int,
    slope: float | None,
) -> torch.Tensor:
    """Filter, add the bias and rectify in one pass over memory.

    Parameters
    ----------
    packed : torch.Tensor
        From `pack_kernels`, with the same options and a bottom of this shape.
    slope : float or None
        Of the rectifier below 0; None: no rectifier.
    """
    kind = "none" if slope is None else "leaky_relu" if slope else "relu"
    scalars = [slope] if slope else []
    y: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, packed, bias, pad, stride, dilation, group, kind, scalars, ""
    )
    return y
