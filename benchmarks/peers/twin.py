"""The nets of `prototxt/` in plain torch, as one would write them by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Shape:
    """What the plain torch net needs to be the net of a prototxt folder.

    Attributes
    ----------
    width : int
        Channels of the first level, doubled with every level.
    tile : int, default 572
        Pixels of a side of the input.
    levels : int, default 5
    last : int, optional
        Channels of the last level; default: `width`.
    slope : float, default 0
        Of the leaky ReLU.
    shift : float, default 0
        What is added to grey values.
    adam : bool, default True
        Whether the solver is Adam, else SGD with momentum 0.99.
    """

    width: int
    tile: int = 572
    levels: int = 5
    last: int | None = None
    slope: float = 0.0
    shift: float = 0.0
    adam: bool = True

    @property
    def output(self) -> int:
        """Pixels of a side of the scores."""
        size = self.tile
        for _ in range(self.levels - 1):
            size = (size - 4) // 2
        size -= 4
        for _ in range(self.levels - 1):
            size = 2 * size - 4
        return size


SHAPES = {
    "unet_isbi2012": Shape(64, adam=False),
    "unet_isbi2012_narrow": Shape(16),
    "2d_cell_net_v0": Shape(64, tile=540, last=128, slope=0.1, shift=-0.5),
    "unet_vessels": Shape(16, tile=268, levels=3),
    "unet_demo": Shape(16, tile=188, levels=3),
}


def make_net(shape: Shape, *, channels_last: bool = True) -> Any:
    """Make the net, a `torch.nn.Module` in training mode.

    Parameters
    ----------
    shape : Shape
    channels_last : bool, default True
        Whether its weights lie channels last, and with them what it computes.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    def rectifier() -> nn.Module:
        if shape.slope:
            return nn.LeakyReLU(shape.slope, inplace=True)
        return nn.ReLU(inplace=True)

    class Block(nn.Sequential):
        def __init__(self, inside: int, outside: int) -> None:
            super().__init__(
                nn.Conv2d(inside, outside, 3),
                rectifier(),
                nn.Conv2d(outside, outside, 3),
                rectifier(),
            )

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            w = [shape.width * 2**i for i in range(shape.levels)]
            last = shape.last or shape.width
            self.down = nn.ModuleList(
                Block(a, b) for a, b in zip([1, *w], w, strict=False)
            )
            skips, outside = w[-2::-1], [*w[-2:0:-1], last]
            self.up = nn.ModuleList(
                nn.ConvTranspose2d(a, b, 2, stride=2)
                for a, b in zip(w[:0:-1], outside, strict=True)
            )
            self.merge = nn.ModuleList(
                Block(a + b, b) for a, b in zip(skips, outside, strict=True)
            )
            self.rectify = rectifier()
            self.score = nn.Conv2d(last, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if shape.shift:
                x = x + shape.shift
            skips = []
            for i, block in enumerate(self.down):
                x = block(x if i == 0 else functional.max_pool2d(x, 2))
                if i >= 3:
                    x = functional.dropout(x, 0.5, self.training)
                skips.append(x)
            for up, merge, skip in zip(self.up, self.merge, skips[-2::-1], strict=True):
                x = self.rectify(up(x))
                cut = (skip.shape[-1] - x.shape[-1]) // 2
                skip = skip[..., cut : cut + x.shape[-2], cut : cut + x.shape[-1]]
                x = merge(torch.cat([x, skip], 1))
            return self.score(x)

    net = UNet()
    return net.to(memory_format=torch.channels_last) if channels_last else net


def load_weights(net: Any, file: Path) -> None:
    """Give the net the weights of `weights.npz`, which stand in Caffe's order."""
    import torch
    from torch import nn

    pairs = [(up, merge) for up, merge in zip(net.up, net.merge, strict=True)]
    order = [*net.down, *(module for pair in pairs for module in pair), net.score]
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    layers = [m for part in order for m in part.modules() if isinstance(m, kinds)]
    with np.load(file) as stored, torch.no_grad():
        if len(stored.files) != 2 * len(layers):
            raise ValueError(
                f"{file}: {len(stored.files)} arrays, the net has {2 * len(layers)}"
            )
        for number, layer in enumerate(layers):
            layer.weight.copy_(torch.from_numpy(stored[f"{number:02}.weight"]))
            layer.bias.copy_(torch.from_numpy(stored[f"{number:02}.bias"]))
