"""What torch.nn has no words for: copied, as it stands, into the modules written.

Each part needs no more than torch, and keeps Caffe's names of weights.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as the modules written call it


class Scale(nn.Module):
    """Multiply by learned numbers along some axes, and add others."""

    def __init__(self, shape: tuple[int, ...], behind: int, bias: bool) -> None:
        super().__init__()
        self.view = (*shape, *[1] * behind)
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply, and add."""
        y = x * self.weight.view(self.view)
        return y if self.bias is None else y + self.bias.view(self.view)


class Bias(nn.Module):
    """Add learned numbers along some axes."""

    def __init__(self, shape: tuple[int, ...], behind: int) -> None:
        super().__init__()
        self.view = (*shape, *[1] * behind)
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add."""
        return x + self.bias.view(self.view)


class Embed(nn.Module):
    """Replace every whole number by its vector, plus one for all."""

    def __init__(self, count: int, size: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(count, size))
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Look up."""
        y = F.embedding(x.long(), self.weight)
        return y if self.bias is None else y + self.bias


class Transformation(nn.Module):
    """Shift, then scale, each channel by fixed numbers."""

    def __init__(self, offset: list[float], scale: list[float], behind: int) -> None:
        super().__init__()
        for name, values in (("offset", offset), ("scale", scale)):
            tensor = torch.tensor(values).view(-1, *[1] * behind)
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shift and scale."""
        return (x + self.get_buffer("offset")) * self.get_buffer("scale")


def pad_windows(
    x: torch.Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pad: tuple[int, ...],
    ceil: bool,
    value: float,
) -> torch.Tensor:
    """Pad so that Caffe's windows of a pooling fit, where they are not torch's."""
    widths: list[int] = []
    for size, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True):
        span = int(size) + 2 * p - k
        last = -(-span // s) if ceil else span // s
        if any(pad) and last * s >= int(size) + p:
            last -= 1
        widths = [p, last * s + k - int(size) - p, *widths]
    return F.pad(x, widths, value=value)


def centre(x: torch.Tensor, like: torch.Tensor, axis: int) -> torch.Tensor:
    """Cut all axes but one to the centre, as large as those of another tensor."""
    for i in range(x.dim()):
        if i != axis:
            start = (x.shape[i] - like.shape[i]) // 2
            x = x.narrow(i, start, like.shape[i])
    return x


def standardise(x: torch.Tensor, axes: tuple[int, ...], eps: float) -> torch.Tensor:
    """Give mean 0 and variance 1 over some axes."""
    x = x - x.mean(axes, keepdim=True)
    return x / (x.square().mean(axes, keepdim=True).sqrt() + eps)


def greatest(
    x: torch.Tensor, count: int, axis: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the greatest values and their places; of equal ones the last is first."""
    order = x.flip(axis).sort(dim=axis, descending=True, stable=True)
    places = x.shape[axis] - 1 - order.indices.narrow(axis, 0, count)
    return order.values.narrow(axis, 0, count), places.to(x.dtype)
