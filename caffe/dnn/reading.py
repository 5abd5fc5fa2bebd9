"""Nets from Caffe's files, or from what was read of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import caffe
from caffe.dnn.net import Net
from caffe.engine.unknown import read_net
from caffe.errors import CheckError, PrototxtError
from caffe.glog import muted
from caffe.proto.files import parse_net

_TEXT, _WEIGHTS = (".prototxt", ".pbtxt"), (".caffemodel", ".h5")


def readNetFromCaffe(
    prototxt: Any = None,
    caffeModel: Any = None,
    *,
    bufferProto: Any = None,
    bufferModel: Any = None,
) -> Net:
    """Read a net of Caffe, or of one of its forks that this package knows.

    Parameters
    ----------
    prototxt : path, or bytes-like or array of bytes
        Text of the net; its phase is TEST.
    caffeModel : path, or bytes-like or array of bytes, optional
        The weights. Layers that they lack keep the values of their fillers.
    bufferProto, bufferModel
        Other names of the two.

    Raises
    ------
    CaffeError
        If a file is missing or damaged, or the net can't be built.
    """
    text = bufferProto if prototxt is None else prototxt
    weights = bufferModel if caffeModel is None else caffeModel
    param = _parsed(text) if _is_buffer(text) else read_net(text)
    with muted(1), _as_file(weights) as path:
        param.state.phase = caffe.TEST
        return Net(caffe.Net(param, caffe.TEST, weights=path), param)


def readNet(
    model: Any, config: Any = "", framework: Any = "", *, bufferConfig: Any = None
) -> Net:
    """Read a net of Caffe from two files, in either order.

    Parameters
    ----------
    model, config : path
        ``.caffemodel`` and ``.prototxt``.
    framework : str, optional
        ``caffe``, if it is given. With buffers the order is
        ``readNet("caffe", bufferModel, bufferConfig)``.

    Raises
    ------
    CaffeError
        If the files are those of another framework, or as for `readNetFromCaffe`.
    """
    if _is_buffer(config):
        _check_framework(model)
        text = bufferConfig if bufferConfig is not None else framework
        return readNetFromCaffe(text, config)
    _check_framework(framework or "caffe")
    paths = [os.fspath(path) for path in (model, config) if path]
    texts = [path for path in paths if path.lower().endswith(_TEXT)]
    weights = [path for path in paths if path.lower().endswith(_WEIGHTS)]
    if len(texts) != 1 or len(texts) + len(weights) != len(paths):
        raise CheckError(
            f"files are {', '.join(paths)}: expected one .prototxt, and a .caffemodel "
            "with its weights"
        )
    return readNetFromCaffe(texts[0], weights[0] if weights else None)


def _check_framework(name: str) -> None:
    if name.lower() != "caffe":
        raise CheckError(f"framework is '{name}': only nets of 'caffe' are read here")


def _is_buffer(value: Any) -> bool:
    return isinstance(value, (bytes, bytearray, memoryview, np.ndarray))


def _raw(buffer: Any) -> bytes:
    """Bytes of a buffer; an array may have more axes than one."""
    return np.asarray(buffer).tobytes() if isinstance(buffer, np.ndarray) else buffer


def _parsed(buffer: Any) -> Any:
    try:
        text = bytes(_raw(buffer)).decode()
    except UnicodeDecodeError as error:
        raise PrototxtError(
            f"{len(buffer)} bytes that are no text: expected that of a .prototxt"
        ) from error
    return parse_net(text)


@contextmanager
def _as_file(weights: Any) -> Iterator[str | None]:
    """Give weights as a file: of those numbers are read as they are needed."""
    if not _is_buffer(weights):
        yield os.fspath(weights) if weights else None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.caffemodel")
        path.write_bytes(_raw(weights))
        yield str(path)
