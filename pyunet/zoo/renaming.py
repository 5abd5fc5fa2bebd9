"""Give layers of published weights the names that a net of this package has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyunet.boundary import reading
from pyunet.errors import DataError
from pyunet.files import atomic_path


def rename_layers(weights: Path, names: Mapping[str, str]) -> None:
    """Rename layers of a binary caffemodel, in place.

    Parameters
    ----------
    weights : Path
        ``.caffemodel``.
    names : mapping of str to str
        Old name -> new name.

    Raises
    ------
    DataError
        No binary caffemodel, or one without a layer of an old name.
    """
    from caffe.proto import caffe_pb2

    net = caffe_pb2.NetParameter()
    with reading(weights.name, "is no binary caffemodel"):
        net.ParseFromString(weights.read_bytes())
    layers = {layer.name: layer for layer in (*net.layer, *net.layers)}
    lacking = [name for name in names if name not in layers]
    if lacking:
        raise DataError(
            f"{weights.name}: has no layer '{lacking[0]}'; it is of another net"
        )
    for old, new in names.items():
        layers[old].name = new
    with atomic_path(weights) as path:
        path.write_bytes(net.SerializeToString())
