"""Nets into ONNX files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from caffe import atomic
from caffe.engine.onnx.graph import package
from caffe.errors import CheckError, FileError
from caffe.export.onnx.translation import KINDS, OPSET, part_of, translate

_LIMIT = 2**31 - 2**20  # bytes in one message of protobuf, but for the graph
_TEST = 1


def to_onnx(
    net: Any,
    path: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    dynamic: Collection[str] = KINDS,
    opset: int = OPSET,
    outputs: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Write a net as an ONNX model.

    Tensors have the names of the blobs, operators those of the layers. Beyond 2 GB the
    weights stand in a file of their own, ``<name of the model>.data``.

    Parameters
    ----------
    net : caffe.Net or path
        A net of phase TEST, or its prototxt.
    path : path
        File to write, ``.onnx``.
    weights : path, optional
        ``.caffemodel`` or ``.caffemodel.h5`` that goes with a prototxt; it has weights
        for every layer.
    dynamic : collection of {"batch", "spatial"}, default both
        Axes of the inputs whose size may be another one when the model runs: axis 0,
        and those behind the channels. Left out where a layer of the net is exact for
        one size only.
    opset : int, default 17
        Version of ONNX's operators, 13 to 21.
    outputs : sequence of str, optional
        Blobs that the model gives, with only the layers that they depend on; default:
        the net's own outputs.

    Returns
    -------
    tuple of str
        What of `dynamic` the model has.

    Raises
    ------
    CheckError
        If a layer has no counterpart in ONNX, named with its type, or an argument is
        wrong.
    FileError
        If a file cannot be read or written.
    CaffeError
        If the package `onnx` is missing.

    Examples
    --------
    >>> import tempfile, caffe
    >>> from caffe.export import to_onnx
    >>> folder = Path(tempfile.mkdtemp())
    >>> lines = ['layer { name: "in" type: "Input" top: "x" ',
    ...          '  input_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } } }',
    ...          'layer { name: "relu" type: "ReLU" bottom: "x" top: "y" }']
    >>> _ = (folder / "net.prototxt").write_text("".join(lines))
    >>> to_onnx(folder / "net.prototxt", folder / "net.onnx")
    ('batch', 'spatial')
    """
    onnx = package("zoo")
    wiring = _wiring(net, weights)
    if outputs is not None:
        wiring = part_of(wiring, outputs)
    translation = translate(wiring, dynamic=dynamic, opset=opset)
    name = net.name if hasattr(net, "name") else Path(net).stem
    _write(onnx, translation.graph.model(name), Path(path))
    return translation.dynamic


def _wiring(net: Any, weights: Any) -> Any:
    if isinstance(net, (str, os.PathLike)):
        import caffe

        net = caffe.Net(os.fspath(net), caffe.TEST, weights=weights, complete=True)
    elif weights is not None:
        raise CheckError("weights are given, and a net that has some: give a prototxt")
    elif net.phase != _TEST:
        raise CheckError("the net is of phase TRAIN: expected one of phase TEST")
    net.reshape()
    return net._wiring


def _write(onnx: Any, model: Any, path: Path) -> None:
    """Write the model, and its weights where they stand apart, once both are whole."""
    apart = model.ByteSize() > _LIMIT
    data = path.with_name(f"{path.name}.data")
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(atomic.Draft(path)).path
            folder.mkdir()
            whole = folder / path.name
            onnx.save_model(
                model,
                whole,
                save_as_external_data=apart,
                location=data.name if apart else None,
            )
            # the model names its weights, so that they come before it
            written = [(folder / data.name, data)] if apart else []
            for source, target in [*written, (whole, path)]:
                draft = stack.enter_context(atomic.Draft(target))
                shutil.move(source, draft.path)
                draft.keep()
        except OSError as error:
            reason = atomic.reason(error)
            raise FileError(f"{path}: cannot be written: {reason}") from error
