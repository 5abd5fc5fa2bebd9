"""Small twins of two well-known U-Nets of PyTorch, from their descriptions.

Only the names of their weights are theirs: ``module_of`` makes a module whose
state_dict has the names of a table, so that no structure of theirs is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn import functional

LEVELS = 4


class Named(nn.Module):
    """Layers by the dotted names that their weights have."""

    def __init__(self, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, layer in layers.items():
            *path, last = name.split(".")
            home: nn.Module = self
            for part in path:
                if not hasattr(home, part):
                    home.add_module(part, nn.Module())
                home = getattr(home, part)
            home.add_module(last, layer)


class Twin(Named):
    """A U-Net of 3x3 convolutions padded by 1, each normalised, then ReLU."""

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        width: int,
        pairs: Callable[[str, int], list[tuple[str, str]]],
        up: Callable[[int], str],
        last: str,
        skip_first: bool,
    ) -> None:
        self.pairs, self.up, self.last = pairs, up, last
        self.skip_first = skip_first
        layers: dict[str, nn.Module] = {}
        sizes = [width * 2**level for level in range(LEVELS + 1)]
        for level, size in enumerate(sizes):
            before = sizes[level - 1] if level else channels
            layers.update(block(pairs("down", level), before, size))
        for level in range(LEVELS - 1, -1, -1):
            size = sizes[level]
            layers[up(level)] = nn.ConvTranspose2d(2 * size, size, 2, stride=2)
            layers.update(block(pairs("up", level), 2 * size, size))
        layers[last] = nn.Conv2d(width, classes, 1)
        super().__init__(layers)

    def run(self, x: torch.Tensor, names: Iterable[tuple[str, str]]) -> torch.Tensor:
        for convolution, norm in names:
            x = self.get_submodule(norm)(self.get_submodule(convolution)(x))
            x = functional.relu(x)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level in range(LEVELS + 1):
            x = functional.max_pool2d(x, 2) if level else x
            x = self.run(x, self.pairs("down", level))
            skips.append(x)
        for level in range(LEVELS - 1, -1, -1):
            x = self.get_submodule(self.up(level))(x)
            both = [skips[level], x] if self.skip_first else [x, skips[level]]
            x = self.run(torch.cat(both, 1), self.pairs("up", level))
        return self.get_submodule(self.last)(x)


def block(names: list[tuple[str, str]], before: int, size: int) -> dict[str, nn.Module]:
    layers: dict[str, nn.Module] = {}
    for (convolution, norm), inputs in zip(names, (before, size), strict=True):
        layers[convolution] = nn.Conv2d(inputs, size, 3, padding=1, bias=False)
        layers[norm] = nn.BatchNorm2d(size)
    return layers


def milesial(*, channels: int = 3, classes: int = 2, width: int = 2) -> Twin:
    def pairs(way: str, level: int) -> list[tuple[str, str]]:
        home = f"up{LEVELS - level}.conv"
        if way == "down":
            home = f"down{level}.maxpool_conv.1" if level else "inc"
        stem = f"{home}.double_conv"
        return [(f"{stem}.0", f"{stem}.1"), (f"{stem}.3", f"{stem}.4")]

    return grown(
        Twin(
            channels=channels, classes=classes, width=width, pairs=pairs,
            up=lambda level: f"up{LEVELS - level}.up", last="outc.conv",
            skip_first=True,
        )
    )  # fmt: skip


def mateuszbuda(*, channels: int = 3, classes: int = 1, width: int = 2) -> Twin:
    def pairs(way: str, level: int) -> list[tuple[str, str]]:
        number = level + 1
        home, short = f"decoder{number}", f"dec{number}"
        if way == "down":
            home, short = f"encoder{number}", f"enc{number}"
        if level == LEVELS:
            home = short = "bottleneck"
        return [(f"{home}.{short}conv{i}", f"{home}.{short}norm{i}") for i in (1, 2)]

    return grown(
        Twin(
            channels=channels, classes=classes, width=width, pairs=pairs,
            up=lambda level: f"upconv{level + 1}", last="conv", skip_first=False,
        )
    )  # fmt: skip


def grown(net: Twin) -> Twin:
    """Give weights and statistics that are not those of a new net."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
            elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                spread = module.weight[0].numel() ** -0.5
                module.weight.normal_(0, spread, generator=generator)
    return net.eval()
