"""Weights in safetensors files: the names of `caffe.export.weights`, the net's text.

The metadata hold the net (``prototxt``), so that such a file is a whole model.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from caffe import atomic
from caffe.errors import CaffeError, FileError
from caffe.export.caffemodel import today
from caffe.export.weights import Arrays, state_dict
from caffe.proto.text import to_text

PROTOTXT = "prototxt"
_MISSING = (
    'safetensors is not installed, which this format needs: pip install "pyunet[zoo]"'
)


def write_safetensors(net: Any, path: str | os.PathLike[str]) -> None:
    """Write the weights of a net, and its text as metadata.

    Parameters
    ----------
    net : caffe.Net
    path : path
        A ``.safetensors`` file.

    Raises
    ------
    FileError
        It cannot be written.
    CaffeError
        safetensors is not installed.
    """
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise CaffeError(_MISSING) from error
    metadata = {"format": "pt", PROTOTXT: to_text(today(net))}
    atomic.write_bytes(path, save(state_dict(net), metadata=metadata))


def read_safetensors(path: str | os.PathLike[str]) -> tuple[Arrays, str | None]:
    """Read weights, and the net's text where the file has it.

    Parameters
    ----------
    path : path

    Returns
    -------
    arrays : dict of str to ndarray
        float32.
    prototxt : str or None

    Raises
    ------
    FileError
        A file that cannot be read, or of another kind.
    CaffeError
        safetensors is not installed.
    """
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise CaffeError(_MISSING) from error
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            text = (file.metadata() or {}).get(PROTOTXT)
            arrays = {
                name: np.asarray(file.get_tensor(name).float().numpy())
                for name in file.keys()  # noqa: SIM118 - the file is no dict
            }
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileError(f"{path}: cannot read it: {reason}") from error
    except Exception as error:  # of a damaged one come errors of several kinds
        raise FileError(
            f"{path}: is no safetensors file, or damaged: {error}"
        ) from error
    return arrays, text
