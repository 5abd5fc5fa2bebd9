"""What a file of trained weights holds, without reading the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py

from pyunet.boundary import reading
from pyunet.errors import DataError
from pyunet_fiji.modeldef.datasets import open_file
from pyunet_fiji.modeldef.shapes import Shape

Shapes = Mapping[str, Sequence[Shape]]


def stored_shapes(path: str | Path) -> Shapes:
    """Read the shapes of all arrays of a file of weights.

    Parameters
    ----------
    path : str or Path
        ``.caffemodel.h5`` or ``.caffemodel``, told apart by content (modeldef_h5.md,
        section 7).

    Returns
    -------
    dict of str to list of tuple of int
        Layer -> its arrays.

    Raises
    ------
    DataError
        No such file, no weights.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file; the model's weights are wanted")
    return _read_hdf5(path) if h5py.is_hdf5(path) else _read_binary(path)


def _read_hdf5(path: str | Path) -> Shapes:
    with open_file(path) as file:
        data = file.get("data")
        if not isinstance(data, h5py.Group):
            raise DataError(f"{path}: has no group /data: no weights")
        return {
            name: [
                group[key].shape
                for key in sorted(group, key=_number)
                if isinstance(group[key], h5py.Dataset)
            ]
            for name, group in data.items()
            if isinstance(group, h5py.Group)
        }


def _number(key: str) -> tuple[int, str]:
    return (int(key) if key.isdecimal() else 0, key)


def _read_binary(path: str | Path) -> Shapes:
    from caffe.proto import caffe_pb2

    message = caffe_pb2.NetParameter()
    with reading(path, "neither HDF5 nor a binary net"):
        message.ParseFromString(Path(path).read_bytes())
    return {
        layer.name: [_blob_shape(blob) for blob in layer.blobs]
        for layer in (*message.layer, *message.layers)
    }


def _blob_shape(blob: Any) -> Shape:
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return (blob.num, blob.channels, blob.height, blob.width)
