"""Lines of a module on their way into its source."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from caffe.engine.torch_code.layer import Layer

FORMAT = "torch"


class Code:
    """What layers add to a module's source.

    Parameters
    ----------
    variables : dict of str to str
        Python names of the blobs.
    """

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables
        self.modules: dict[str, str] = {}
        self.lines: list[str] = []
        self.parts: dict[str, Any] = {}

    def inputs(self, layer: Layer) -> list[str]:
        """Variables of the bottoms."""
        return [self._variables[name] for name in layer.bottoms]

    def outputs(self, layer: Layer) -> list[str]:
        """Variables of the tops."""
        return [self._variables[name] for name in layer.tops]

    def assign(self, layer: Layer, expression: str) -> None:
        """Give the first top a value."""
        target = self.outputs(layer)[0]
        if expression != target:
            self.lines.append(f"{target} = {expression}")

    def module(self, layer: Layer, construction: str) -> str:
        """Add a module that holds the layer's weights; give what calls it."""
        name = module_name(layer.name)
        self.modules[name] = construction
        return f"self[{quoted(name)}]"

    def part(self, part: Any) -> str:
        """Take a function or class of `parts` into the source."""
        self.parts[part.__name__] = part
        return str(part.__name__)


def module_name(layer: str) -> str:
    """Give the name under which a module of torch can hold a layer.

    It is the layer's own, but for what torch refuses: dots, and names of attributes.

    Examples
    --------
    >>> module_name("conv_d0a-b"), module_name("fc6.1"), module_name("forward")
    ('conv_d0a-b', 'fc6_1', 'forward_')
    """
    name = layer.replace(".", "_") or "_"
    return f"{name}_" if hasattr(nn.ModuleDict, name) or name == "training" else name


def number(value: float) -> str:
    """Write a number of a prototxt with as many digits as it has.

    Examples
    --------
    >>> number(0.10000000149011612), number(2.0), number(float("inf"))
    ('0.1', '2', "float('inf')")
    """
    text = str(np.float32(value)).removesuffix(".0")
    return text if np.isfinite(value) else f"float('{text}')"


def quoted(name: str) -> str:
    """Write a name as a string of Python: what it holds stays a name.

    >>> quoted("conv1/7x7")
    '"conv1/7x7"'
    """
    return json.dumps(name, ensure_ascii=False)


def numbers(values: Sequence[int]) -> str:
    """Write one number an axis, or one for all.

    Examples
    --------
    >>> numbers((2, 2)), numbers((1, 2))
    ('2', '(1, 2)')
    """
    return str(values[0]) if len(set(values)) == 1 else str(tuple(values))


def affine(x: str, scale: float, shift: float) -> str:
    """Write ``scale * x + shift`` without what changes nothing.

    Examples
    --------
    >>> affine("x", 1, 0), affine("x", 2, -0.5), affine("x", 1, 3)
    ('x', '2 * x - 0.5', 'x + 3')
    """
    product = x if scale == 1 else f"{number(scale)} * {x}"
    if shift == 0:
        return product
    return f"{product} {'-' if shift < 0 else '+'} {number(abs(shift))}"
