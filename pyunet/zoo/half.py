"""Store weights in half of their size: numbers of 16 bits, as HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyunet.boundary import check_held, reading
from pyunet.errors import DataError
from pyunet.files import atomic_path

PACKED = {"compression": "gzip", "shuffle": True}
SMALL_BYTES = 8192  # what takes more room packed


def half_precision(weights: str | Path, out: str | Path) -> Path:
    """Write weights as a ``.caffemodel.h5`` of float16, compressed.

    caffe's reader makes float32 of them again; each number is then off by at most
    1/2048 of itself.

    Parameters
    ----------
    weights : str or Path
        ``.caffemodel`` or ``.caffemodel.h5``.
    out : str or Path
        ``.caffemodel.h5``.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    DataError
        No weights, a number that 16 bits cannot hold (beyond 65504), a file that
        cannot be written.
    """
    import h5py

    source, target = Path(weights), Path(out)
    if not source.is_file():
        raise DataError(f"{source}: no such file; expected a model's weights")
    arrays = _from_hdf5(source) if h5py.is_hdf5(source) else _from_binary(source)
    if not arrays:
        raise DataError(f"{source}: holds no weights")
    with atomic_path(target) as path, h5py.File(path, "w") as file:
        for name, array in arrays.items():
            half = _halved(array, name, source)
            packed = PACKED if half.nbytes > SMALL_BYTES else {}
            file.create_dataset(f"data/{name}", data=half, **packed)
    return target


def _halved(array: NDArray[Any], name: str, source: Path) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        raise DataError(
            f"{source}: {name} has {np.abs(array).max():g}; 16 bits hold up to 65504"
        )
    return half


def _from_hdf5(source: Path) -> dict[str, NDArray[Any]]:
    """Read what lies below ``/data``; names of layers may have slashes."""
    import h5py

    arrays: dict[str, NDArray[Any]] = {}

    met: set[int] = set()

    def note(group: Any, above: str) -> None:
        # links can lead back to where they are, or to one group from everywhere
        place = h5py.h5o.get_info(group.id).addr
        if place in met:
            raise DataError(f"{source}: group {group.name} is linked to more than once")
        met.add(place)
        for name, item in group.items():
            if isinstance(item, h5py.Group):
                note(item, f"{above}{name}/")
            elif item.dtype.kind == "f" and item.shape is not None:
                check_held(source, item.nbytes, source.stat().st_size)
                arrays[f"{above}{name}"] = item[()]

    wrong = "no weights that can be read"
    with reading(source, wrong), h5py.File(source, "r") as file:
        if isinstance(file.get("data"), h5py.Group):
            note(file["data"], "")
    return arrays


def _from_binary(source: Path) -> dict[str, NDArray[Any]]:
    from caffe import io
    from caffe.proto import caffe_pb2

    net = caffe_pb2.NetParameter()
    with reading(source, "no weights that can be read"):
        net.ParseFromString(source.read_bytes())
        return {
            f"{layer.name}/{number}": io.blobproto_to_array(blob)
            for layer in (*net.layer, *net.layers)
            for number, blob in enumerate(layer.blobs)
        }
