"""Pictures of nets, through the package pydot and the programs of Graphviz.

Examples
--------
Every layer and every blob is a node; labels of edges are numbers of channels:

>>> from caffe.proto import caffe_pb2
>>> net = caffe_pb2.NetParameter(name="n")
>>> layer = net.layer.add(name="ip", type="InnerProduct", bottom=["x"], top=["y"])
>>> layer.inner_product_param.num_output = 5
>>> graph = get_pydot_graph(net, "LR")
>>> [edge.get_label() for edge in graph.get_edge_list()]
['""', '5']
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from os import PathLike
from typing import Any

from caffe import atomic
from caffe.errors import CaffeError, CheckError
from caffe.proto import caffe_pb2

LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}

_COLORS = {
    "Convolution": "#FF5050",
    "Deconvolution": "#FF5050",
    "Pooling": "#FF9900",
    "InnerProduct": "#CC33FF",
}
_LEARNING = ("Convolution", "Deconvolution", "InnerProduct")
_NO_LABEL = '""'


def get_pooling_types_dict() -> dict[int, str]:
    """Map the numbers of pooling methods to their names.

    Examples
    --------
    >>> get_pooling_types_dict()[0]
    'MAX'
    """
    methods = caffe_pb2.PoolingParameter.PoolMethod
    return {number: name for name, number in methods.items()}


def get_edge_label(layer: Any) -> str:
    """Label of what leaves a layer: its batch size or number of channels."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return _NO_LABEL


def get_layer_lr_mult(layer: Any) -> tuple[float, float]:
    """Learning rate multipliers of weights and bias; 1 where not given.

    Raises
    ------
    CheckError
        If the layer is no Convolution, Deconvolution or InnerProduct, or has more
        than two.
    """
    if layer.type not in _LEARNING:
        raise CheckError(
            f"layer '{layer.name}': {layer.type} layers do not have a learning rate "
            f"multiplier; {', '.join(_LEARNING)} have"
        )
    rates = [spec.lr_mult for spec in layer.param]
    if len(rates) > 2:
        raise CheckError(
            f"layer '{layer.name}': {len(rates)} learning rate multipliers; "
            "expected up to two"
        )
    weights, bias = (*rates, 1.0, 1.0)[:2]
    return weights, bias


def get_layer_label(layer: Any, rankdir: str, display_lrm: bool = False) -> str:
    r"""Text of a layer's node, in quotes.

    Parameters
    ----------
    layer : LayerParameter
    rankdir : {"LR", "RL", "TB", "BT"}
        Direction of the graph: one line in a vertical one, several in a horizontal.
    display_lrm : bool, default False
        Show learning rate multipliers.

    Examples
    --------
    >>> layer = caffe_pb2.LayerParameter(name="p", type="Pooling")
    >>> layer.pooling_param.kernel_size.append(2)
    >>> get_layer_label(layer, "TB")
    '"p (Pooling MAX) kernel size: 2 stride: 1 pad: 0"'
    """
    kind = layer.type
    if kind == "Pooling":
        kind += f" {get_pooling_types_dict()[layer.pooling_param.pool]}"
    parts = [layer.name, f"({kind})", *_window(layer)]
    if display_lrm and layer.type in _LEARNING:
        weights, bias = get_layer_lr_mult(layer)
        if weights or bias:
            parts.append(f"lr mult: {weights:.1f}, {bias:.1f}")
    separator = " " if rankdir in ("TB", "BT") else "\\n"
    # a text with colons is taken for a port unless it is quoted
    return f'"{separator.join(parts)}"'


def choose_color_by_layertype(layertype: str) -> str:
    """Color of a layer's node.

    Examples
    --------
    >>> choose_color_by_layertype("Pooling")
    '#FF9900'
    """
    return _COLORS.get(layertype, LAYER_STYLE_DEFAULT["fillcolor"])


def get_pydot_graph(
    caffe_net: Any,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:
    """Make a graph of a net's layers and blobs.

    Parameters
    ----------
    caffe_net : NetParameter
    rankdir : {"LR", "RL", "TB", "BT"}
        Direction of the graph.
    label_edges : bool, default True
        Say at what leaves a layer how many channels it has.
    phase : int, optional
        Leave out layers that are not of this phase; by default all are shown.
    display_lrm : bool, default False
        Show learning rate multipliers.

    Returns
    -------
    pydot.Dot

    Raises
    ------
    CheckError
        If a layer has both include and exclude rules, and a phase is given.
    CaffeError
        If the package pydot is not installed.
    """
    pydot = _pydot()
    graph = pydot.Dot(caffe_net.name or "Net", graph_type="digraph", rankdir=rankdir)
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str, str]] = []
    for layer in caffe_net.layer:
        if phase is not None and not _is_of_phase(layer, phase):
            continue
        here = f"{layer.name}_{layer.type}"
        text = get_layer_label(layer, rankdir, display_lrm=display_lrm)
        nodes[here] = pydot.Node(text, **_style(layer))
        for name in layer.bottom:
            nodes[f"{name}_blob"] = pydot.Node(_quoted(name), **BLOB_STYLE)
            edges.append((f"{name}_blob", here, _NO_LABEL))
        for name in layer.top:
            nodes[f"{name}_blob"] = pydot.Node(_quoted(name))
            label = get_edge_label(layer) if label_edges else _NO_LABEL
            edges.append((here, f"{name}_blob", label))
    for node in nodes.values():
        graph.add_node(node)
    for source, target, label in edges:
        graph.add_edge(pydot.Edge(nodes[source], nodes[target], label=label))
    return graph


def draw_net(
    caffe_net: Any,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """Draw a net and return the picture; see `get_pydot_graph`.

    Parameters
    ----------
    caffe_net : NetParameter
    rankdir : {"LR", "RL", "TB", "BT"}
    ext : str, default "png"
        Kind of picture: png, svg, pdf and all that Graphviz knows; dot is its text.
    phase : int, optional
    display_lrm : bool, default False

    Raises
    ------
    CaffeError
        If pydot or Graphviz's program dot is not installed, or dot fails.
    """
    graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
    try:
        picture: bytes = graph.create(format=ext)
    except FileNotFoundError as error:
        raise CaffeError(
            "drawing a net needs the program 'dot' of Graphviz, which is not found: "
            "apt install graphviz (get_pydot_graph(...).to_string() works without)"
        ) from error
    except (AssertionError, OSError) as error:  # pydot asserts that dot succeeds
        reason = " ".join(str(error).split())
        raise CaffeError(f"Graphviz cannot draw '{ext}': {reason}") from error
    return picture


def draw_net_to_file(
    caffe_net: Any,
    filename: str | PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Draw a net into a file, whose ending says the kind; see `draw_net`."""
    ext = str(filename).rpartition(".")[2]
    picture = draw_net(caffe_net, rankdir, ext, phase=phase, display_lrm=display_lrm)
    atomic.write_bytes(filename, picture)


def _window(layer: Any) -> list[str]:
    """Describe the window of a layer that slides one."""
    if layer.type == "Pooling":
        param, kernel = layer.pooling_param, 0
    elif layer.type in ("Convolution", "Deconvolution"):
        param, kernel = layer.convolution_param, 1
    else:
        return []
    return [
        f"kernel size: {_sizes(param, 'kernel', param.kernel_size, kernel)}",
        f"stride: {_sizes(param, 'stride', param.stride, 1)}",
        f"pad: {_sizes(param, 'pad', param.pad, 0)}",
    ]


def _sizes(param: Any, stem: str, values: Iterable[int], default: int) -> str:
    """Show one number for all axes, or those of each axis with x between."""
    pair = f"{stem}_h", f"{stem}_w"
    if any(param.HasField(name) for name in pair):
        values = [getattr(param, name) for name in pair]
    sizes = list(values) or [default]
    return "x".join(map(str, sizes if len(set(sizes)) > 1 else sizes[:1]))


def _is_of_phase(layer: Any, phase: int) -> bool:
    if layer.include and layer.exclude:
        raise CheckError(
            f"layer '{layer.name}' has both include and exclude specified; "
            "expected one of them"
        )
    included = not layer.include or any(rule.phase == phase for rule in layer.include)
    return included and all(rule.phase != phase for rule in layer.exclude)


def _style(layer: Any) -> dict[str, str]:
    in_place = len(layer.bottom) == 1 and list(layer.bottom) == list(layer.top)
    if in_place:
        return NEURON_LAYER_STYLE
    return {**LAYER_STYLE_DEFAULT, "fillcolor": choose_color_by_layertype(layer.type)}


def _quoted(name: str) -> str:
    """Quote a blob's name where a colon in it would be taken for a port."""
    return f'"{name}"' if ":" in name else name


def _pydot() -> Any:
    try:
        return import_module("pydot")
    except ImportError as error:
        raise CaffeError(
            "drawing a net needs the package pydot: pip install pydot"
        ) from error
