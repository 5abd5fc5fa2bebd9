"""What is fuzzed: each target reads bytes as one kind of file.

A target returns, or raises a `CaffeError`, which it swallows; anything else that comes
out of it is a fault of the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

import caffe
from caffe.engine import graph
from caffe.engine.solvers import state
from caffe.engine.sources.hdf5 import HDF5Rows
from caffe.errors import CaffeError
from caffe.proto import blobs, caffe_pb2, files, stored, text

NET = """
name: "small"
layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 3 kernel_size: 2 } }
layer { name: "a/b" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 2 } }
"""
_LARGEST_ROW = 1 << 20
Target = Callable[[bytes, Path], None]


@cache
def small_net() -> Any:
    """Net that the trained weights of the corpus belong to."""
    param = text.parse_text(NET, caffe_pb2.NetParameter())
    return caffe.Net(param, caffe.TEST)


def prototxt(data: bytes, folder: Path) -> None:
    """Text of a net and of a solver, up to where layers would be made."""
    path = folder / "input.prototxt"
    path.write_bytes(data)
    with suppress(CaffeError):
        files.read_solver(path)
    with suppress(CaffeError):
        net = files.read_net(path, crop="coordinate_maps")
        text.parse_text(text.to_text(net), caffe_pb2.NetParameter())
        graph.insert_splits(graph.filter_net(net))


def caffemodel(data: bytes, folder: Path) -> None:
    """Trained weights, binary; numbers left in the file are those of the messages."""
    path = folder / "input.caffemodel"
    path.write_bytes(data)
    with suppress(CaffeError):
        text.to_text(files.read_net_binary(path, crop="coordinate_maps"))
    by_messages, in_place = _weights_by_messages(path), _weights_in_place(path)
    if by_messages != in_place:
        raise AssertionError(f"{by_messages} by messages, {in_place} in place")
    with suppress(CaffeError):
        small_net().copy_from(path)


def _weights_by_messages(path: Path) -> list[tuple[str, list[bytes]]] | None:
    """Names and numbers of the layers; None if the file is refused."""
    with suppress(CaffeError):
        return [
            (layer.name, [blobs.values_of(blob).tobytes() for blob in layer.blobs])
            for layer in files.read_net_binary(path).layer
        ]
    return None


def _weights_in_place(path: Path) -> list[tuple[str, list[bytes]]] | None:
    with suppress(CaffeError), stored.opened_weights(path) as layers:
        return [
            (layer.name, [blob.part(0, blob.count).tobytes() for blob in layer.blobs])
            for layer in layers
        ]
    return None


def solverstate(data: bytes, folder: Path) -> None:
    """State of a solver, binary."""
    path = folder / "input.solverstate"
    path.write_bytes(data)
    with suppress(CaffeError):
        state.read(path)


def binaryproto(data: bytes, folder: Path) -> None:
    """An array: a mean image, an infogain matrix."""
    path = folder / "input.binaryproto"
    path.write_bytes(data)
    with suppress(CaffeError):
        blobs.read(path, "an array")


def hdf5(data: bytes, folder: Path) -> None:
    """HDF5: as trained weights, as state of a solver, and as rows to learn from."""
    path = folder / "input.h5"
    path.write_bytes(data)
    with suppress(CaffeError):
        small_net().load_hdf5(path)
    with suppress(CaffeError):
        state.read(path)
    source = folder / "list.txt"
    source.write_text("input.h5\n")
    with suppress(CaffeError):
        _read_rows(HDF5Rows(str(source), ["data", "label"]))


def _read_rows(rows: HDF5Rows) -> None:
    shapes = [shape[1:] for shape in rows.shapes[0].values()]
    wanted = np.arange(min(2, rows.rows(0)))
    try:
        if all(prod(shape) <= _LARGEST_ROW for shape in shapes):
            rows.read(0, wanted, [np.empty((len(wanted), *s), "f4") for s in shapes])
    finally:
        rows.close()


TARGETS: dict[str, Target] = {
    "prototxt": prototxt,
    "caffemodel": caffemodel,
    "solverstate": solverstate,
    "binaryproto": binaryproto,
    "hdf5": hdf5,
}
