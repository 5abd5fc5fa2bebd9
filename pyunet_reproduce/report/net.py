"""What a net is, what it costs, how it is trained, and its first kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.message import Message

import caffe
from caffe.errors import CaffeError
from pyunet.errors import DataError
from pyunet.inference.engine import FLOAT_BYTES, load_net
from pyunet.inference.trained import open_model
from pyunet.zoo import kind_of
from pyunet_reproduce.report.pictures import MOST_KERNELS, Figure, kernel_figure

MIB = 2**20
LEFT_OUT = {"net", "train_net", "test_net", "snapshot_prefix", "net_param"}
Row = tuple[str, str]


def describe_net(
    deploy: Path, weights: Path | None
) -> tuple[list[Row], list[Figure], str]:
    """Say what a net is, and show the kernels of its first layer.

    Parameters
    ----------
    deploy : Path
        A prototxt or a ``.modeldef.h5``.
    weights : Path or None

    Returns
    -------
    rows : list of (name, value)
    kernels : list of Figure
        Empty without weights.
    why : str
        Why there are no kernels; empty if there are.

    Raises
    ------
    DataError
        A net or weights that cannot be read; a definition without weights, which say
        how many channels its images have.
    """
    rows: list[Row] = [("net", str(deploy))]
    if weights is not None:
        model = open_model(deploy, weights).model
        rows.append(("weights", f"{weights} ({weights.stat().st_size / MIB:.1f} MiB)"))
        net = model.net
        if kind_of(deploy) is not None:
            model.reshape(tuple(axis.smallest for axis in model.axes))
    elif kind_of(deploy) is not None:
        raise DataError(
            f"{deploy}: goes with --weights, which say how many channels images have"
        )
    else:
        net = load_net(deploy)
    rows += _sizes(net)
    if weights is None:
        return rows, [], "No weights are given (--weights), so no kernels are shown."
    return rows, *_kernels(net)


def describe_solver(text: str, *, name: str = "solver") -> list[Row]:
    """List what a solver's prototxt sets, except for file names.

    Raises
    ------
    DataError
        A text that is not a solver.

    Examples
    --------
    >>> describe_solver("base_lr: 0.5 type: 'Adam' snapshot_prefix: 'a' test_iter: 3")
    [('test_iter', '3'), ('base_lr', '0.5'), ('type', 'Adam')]
    """
    try:
        message = caffe.parse_solver(text, name=name)
    except CaffeError as error:
        raise DataError(str(error)) from error
    return [
        (field.name, _shown(field, value))
        for field, value in message.ListFields()
        if field.name not in LEFT_OUT and not isinstance(value, Message)
    ]


def _shown(field: Any, value: Any) -> str:
    values = value if _is_list(value) else [value]
    if field.enum_type is not None:
        values = [field.enum_type.values_by_number[number].name for number in values]
    words = (f"{each:.7g}" if isinstance(each, float) else str(each) for each in values)
    return ", ".join(words)


def _is_list(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes))


def _sizes(net: Any) -> list[Row]:
    import caffe

    costs = caffe.cost(net)
    rows = [
        (what, f"{name}: {' x '.join(str(int(n)) for n in net.blobs[name].shape)}")
        for what, names in (("input", net.inputs), ("output", net.outputs))
        for name in names
    ]
    with_weights = [layer for layer in costs.layers if layer.parameters]
    size = FLOAT_BYTES * costs.parameters / MIB
    return [
        *rows,
        ("layers with weights", f"{len(with_weights)} of {len(costs.layers)}"),
        ("parameters", f"{costs.parameters:,} ({size:.1f} MiB)"),
        (
            "multiply-adds",
            f"{costs.multiply_adds:,} ({costs.gflops:.2f} GFLOP)",
        ),
    ]


def _kernels(net: Any) -> tuple[list[Figure], str]:
    for name, layer in net.layer_dict.items():
        blobs = list(net.params[name]) if name in net.params else []
        if layer.type == "Convolution" and blobs and min(blobs[0].shape[2:]) > 1:
            weights = blobs[0].data
            count, channels, *size = weights.shape
            top = float(abs(weights).max())
            caption = (
                f"{name}: {count} kernels of {' x '.join(map(str, size))} over "
                f"{channels} channel(s), {-top:.3g} black, 0 grey, {top:.3g} white"
            )
            if count > MOST_KERNELS:
                caption += f". The first {MOST_KERNELS} are shown"
            return [kernel_figure(weights, caption)], ""
    return [], "The net has no convolution with kernels of more than one pixel."
