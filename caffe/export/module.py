"""A net as a module of plain PyTorch: Python source that needs nothing but torch."""

from __future__ import annotations

import inspect
import os
import re
from typing import Any

import torch
from torch import nn

from caffe import atomic
from caffe.engine.catalogue import types_with
from caffe.engine.layer import Operator
from caffe.engine.torch_code import parts
from caffe.engine.torch_code.code import FORMAT, Code, quoted
from caffe.errors import CheckError
from caffe.export.layers import Description, Shape, describe, identifiers
from caffe.export.weights import module_name, state_dict, write_state_dict

_SOURCE = '''\
"""The net {net} in PyTorch, made from its Caffe prototxt.

{blobs}

Layers have Caffe's names, and the weights beside this file (.pt) too:

    net = load()
    {call}
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

{parts}
class {name}(nn.ModuleDict):
    """{net}: {sizes}."""

    def __init__(self) -> None:
        super().__init__(
            {{
{modules}
            }}
        )
{shared}
    def forward(self, {arguments}):
{lines}
        return {outputs}


def load(weights=Path(__file__).with_suffix(".pt")) -> {name}:
    """Make the net with its weights, ready for new images."""
    net = {name}()
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return net.eval()
'''


def module_source(net: Any) -> str:
    """Write the source of a module that computes what a net does.

    Parameters
    ----------
    net : caffe.Net
        In phase TEST; its inputs are Input layers.

    Returns
    -------
    str
        Python. It defines one class, whose forward takes the net's inputs and returns
        its output (several: a tuple, in alphabetical order), and ``load``, which reads
        the weights of `caffe.export.write_state_dict`.

    Raises
    ------
    NoCounterpartError
        A layer that torch has no counterpart of; the text names it.

    Examples
    --------
    >>> import caffe
    >>> from caffe import layers as L
    >>> n = caffe.NetSpec()
    >>> n.x = L.Input(input_param={"shape": {"dim": [1, 2, 5, 5]}})
    >>> n.y = L.ReLU(n.x)
    >>> "y = F.relu(x)" in module_source(caffe.Net(n.to_proto(), 1))
    True
    """
    description = describe(net)
    variables = identifiers(
        [name for layer in description.layers for name in (*layer.bottoms, *layer.tops)]
    )
    code = Code(variables)
    for layer in description.layers:
        made = layer.bottoms or layer.op.filled_by_user
        if not made or type(layer.op).to_torch is Operator.to_torch:
            have = ", ".join(types_with("to_torch"))
            raise layer.refuse(FORMAT, f"these types have one: {have}")
        layer.op.to_torch(layer, code)
    if not description.inputs or not description.outputs:
        raise CheckError(
            f"net '{description.name}' has inputs {list(description.inputs)} and "
            f"outputs {list(description.outputs)}: expected one or more of each"
        )
    return _assemble(description, code, variables)


def write_module(
    net: Any, source: str | os.PathLike[str], weights: str | os.PathLike[str]
) -> None:
    """Write a module's source, and its weights.

    Parameters
    ----------
    net : caffe.Net
    source : path
        A ``.py`` file.
    weights : path
        A ``.pt`` file; the source looks for one of its own name beside it.

    Raises
    ------
    NoCounterpartError
        A layer that torch has no counterpart of.
    FileError
        A file that cannot be written.
    """
    text = module_source(net)
    write_state_dict(net, weights)
    atomic.write_bytes(source, text.encode())


def build_module(net: Any) -> nn.Module:
    """Make the module of `module_source`, with the net's weights.

    Parameters
    ----------
    net : caffe.Net

    Returns
    -------
    torch.nn.Module
        Set to evaluation.
    """
    source = module_source(net)
    scope: dict[str, Any] = {"__name__": "net", "__file__": "net.py"}
    exec(compile(source, "net.py", "exec"), scope)
    module: nn.Module = scope[class_name(net.name)]()
    arrays = {n: torch.from_numpy(a.copy()) for n, a in state_dict(net).items()}
    module.load_state_dict(arrays)
    return module.eval()


def class_name(net: str) -> str:
    """Name the class of a net.

    Examples
    --------
    >>> class_name("unet_isbi2012"), class_name("2d_cell_net_v0"), class_name("")
    ('UnetIsbi2012', 'Net2dCellNetV0', 'Net')
    """
    words = re.split(r"[\W_]+", net, flags=re.ASCII)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    reserved = {*vars(parts), "F", "Path", "True", "False", "None"}
    plain = name and not name[0].isdecimal() and name not in reserved
    return name if plain else f"Net{name}"


def _assemble(found: Description, code: Code, variables: dict[str, str]) -> str:
    modules = "\n".join(
        f"                {quoted(name)}: {construction},"
        for name, construction in code.modules.items()
    )
    text = _SOURCE.format(
        net=_plain(found.name) or "of a prototxt",
        name=class_name(found.name),
        blobs=_blobs(found),
        sizes=f"{_sizes(found.inputs)} to {_sizes(found.outputs)}",
        call=_call(found, variables),
        parts="".join(f"\n{inspect.getsource(p)}\n" for p in code.parts.values()),
        modules=modules,
        shared=_ties(found),
        arguments=", ".join(variables[name] for name in found.inputs),
        lines="\n".join(f"        {line}" for line in code.lines),
        outputs=", ".join(variables[name] for name in found.outputs),
    )
    return text.replace("{\n\n", "{\n")


def _blobs(found: Description) -> str:
    rows = [("input ", n, s) for n, s in found.inputs.items()]
    rows += [("output", n, s) for n, s in found.outputs.items()]
    return "\n".join(f"{kind}  {_plain(n)}: {_shape(shape)}" for kind, n, shape in rows)


def _sizes(blobs: dict[str, Shape]) -> str:
    return ", ".join(f"{_plain(name)} {_shape(s)}" for name, s in blobs.items())


def _plain(name: str) -> str:
    """Leave out of a name what would end a docstring."""
    return re.sub(r'[\\"]|\s+', " ", name)


def _shape(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"


def _call(found: Description, variables: dict[str, str]) -> str:
    outputs = ", ".join(variables[name] for name in found.outputs)
    inputs = ", ".join(variables[name] for name in found.inputs)
    return f"{outputs} = net({inputs})"


def _ties(found: Description) -> str:
    """Let modules share the weights that layers share."""
    names = ("weight", "bias")
    return "".join(
        f"        self[{quoted(module_name(mine))}].{names[i]} = "
        f"self[{quoted(module_name(owner))}].{names[j]}\n"
        for (mine, i), (owner, j) in found.shared
    )
