"""Nets, solvers and trained nets from files, brought to today's form.

Examples
--------
>>> import tempfile, pathlib
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> _ = (folder / "net.prototxt").write_text('layers { name: "p" type: POWER }')
>>> read_net(folder / "net.prototxt").layer[0].type
'Power'
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2
from caffe.proto.binary import parse_binary
from caffe.proto.text import check_pointer, parse_text, read_bytes, read_text
from caffe.proto.upgrade import Crop, upgrade_net, upgrade_solver

_KINDS = {
    b"\x89HDF\r\n": "an HDF5 file (weights in HDF5 must be named .h5)",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"II*\x00": "a TIFF image",
    b"MM\x00*": "a TIFF image",
    b"\x93NUMPY": "a numpy array",
    b"%PDF": "a PDF document",
}
START = 4096
_EXPECTED = "expected a binary Caffe net (.caffemodel)"


def read_net(path: str | PathLike[str], *, crop: Crop = "explicit") -> Any:
    """Read a net from a text file and upgrade it.

    Parameters
    ----------
    path
        A ``.prototxt`` of any Caffe version.
    crop
        What Crop layers without axis and offset mean, see
        `caffe.proto.upgrade.upgrade_net`.

    Returns
    -------
    NetParameter
        The net in today's form.

    Raises
    ------
    FileError
        If the file cannot be read or is not text.
    PrototxtError
        If the text does not follow the schema.
    CheckError
        If the net cannot be upgraded.
    """
    return _todays_text(read_text(path, caffe_pb2.NetParameter()), path, crop)


def parse_net(text: str, *, name: str = "<text>", crop: Crop = "explicit") -> Any:
    """Read a net from text and upgrade it, as `read_net` does with a file.

    Parameters
    ----------
    text
        That of a ``.prototxt`` of any Caffe version.
    name
        What errors call it.
    crop
        As for `read_net`.

    Returns
    -------
    NetParameter
        The net in today's form.

    Raises
    ------
    PrototxtError
        If the text does not follow the schema; starts with ``name:line:column:``.
    CheckError
        If the net cannot be upgraded.

    Examples
    --------
    >>> parse_net('layers { name: "p" type: POWER }').layer[0].type
    'Power'
    """
    return _todays_text(
        parse_text(text, caffe_pb2.NetParameter(), name=name), name, crop
    )


def _todays_text(net: Any, name: str | PathLike[str], crop: Crop) -> Any:
    with _named(name):
        upgrade_net(net, crop=crop)
    return net


def read_solver(path: str | PathLike[str]) -> Any:
    """Read a solver from a text file and upgrade it and the nets inside.

    A ``snapshot_prefix`` that is missing becomes the file's name without its suffix;
    one that is a folder gets that name below it, as in Caffe.

    Parameters
    ----------
    path
        A solver's ``.prototxt`` of any Caffe version.

    Returns
    -------
    SolverParameter
        The solver in today's form.

    Raises
    ------
    FileError
        If the file cannot be read or is not text.
    PrototxtError
        If the text does not follow the schema.
    CheckError
        If the solver or a net inside cannot be upgraded.
    """
    solver = _todays_solver(read_text(path, caffe_pb2.SolverParameter()), path)
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = str(Path(path).with_suffix(""))
    elif os.path.isdir(solver.snapshot_prefix):  # noqa: PTH112 - any text will do
        solver.snapshot_prefix = str(Path(solver.snapshot_prefix, Path(path).stem))
    return solver


def parse_solver(text: str, *, name: str = "<text>") -> Any:
    """Read a solver from text and upgrade it and the nets inside.

    Parameters
    ----------
    text
        That of a solver's ``.prototxt`` of any Caffe version.
    name
        What errors call it.

    Returns
    -------
    SolverParameter
        The solver in today's form; a ``snapshot_prefix`` is as it is given, if at all.

    Raises
    ------
    PrototxtError
        If the text does not follow the schema; starts with ``name:line:column:``.
    CheckError
        If the solver or a net inside cannot be upgraded.
    """
    return _todays_solver(
        parse_text(text, caffe_pb2.SolverParameter(), name=name), name
    )


def _todays_solver(solver: Any, name: str | PathLike[str]) -> Any:
    with _named(name):
        upgrade_solver(solver)
        for field in ("net_param", "train_net_param"):
            if solver.HasField(field):
                upgrade_net(getattr(solver, field))
        for net in solver.test_net_param:
            upgrade_net(net)
    return solver


def read_net_binary(path: str | PathLike[str], *, crop: Crop = "as_written") -> Any:
    """Read a trained net from a binary file and upgrade it.

    Files of forks are recognised, see `caffe.proto.binary`.

    Parameters
    ----------
    path
        A ``.caffemodel`` of any Caffe version.
    crop
        What Crop layers without axis and offset mean, see
        `caffe.proto.upgrade.upgrade_net`. The default leaves them alone, since for
        weights only the names and arrays of layers matter.

    Returns
    -------
    NetParameter
        The net in today's form, its layers with ``blobs``.

    Raises
    ------
    FileError
        If the file cannot be read, is cut short, empty, or something else.
    CheckError
        If the net cannot be upgraded.
    """
    raw = read_bytes(path)
    with parsing(path, raw[:START], len(raw)):
        return todays_net(path, raw, crop)


@contextmanager
def parsing(path: str | PathLike[str], start: bytes, size: int) -> Iterator[None]:
    """Make errors of parsing a trained net say what the file may be instead.

    Parameters
    ----------
    path
        The file, for messages.
    start
        Its first `START` bytes.
    size
        Number of all its bytes.

    Raises
    ------
    FileError
    """
    check_pointer(path, start)
    kind = _other_kind(start)
    if kind:
        raise FileError(f"{path}: is {kind}; {_EXPECTED}")
    try:
        yield
    except (DecodeError, UnicodeDecodeError) as error:
        raise FileError(
            f"{path}: is cut short, damaged, or of another kind ({size} bytes that "
            f"do not parse as a net); {_EXPECTED}"
        ) from error
    except OSError as error:
        raise FileError(f"{path}: cannot read it: {error.strerror}") from error


def _other_kind(start: bytes) -> str | None:
    """Name the kind of a file that is no binary net, as far as its bytes tell."""
    if not start:
        return "empty"
    for signature, kind in _KINDS.items():
        if start.startswith(signature):
            return kind
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in start):
        return "a text file"
    return None


def todays_net(path: str | PathLike[str], raw: bytes, crop: Crop) -> Any:
    """Parse the bytes of a trained net, and upgrade it.

    Parameters
    ----------
    path
        The file, for messages.
    raw, crop
        As in `caffe.proto.binary.parse_binary` and `upgrade_net`.

    Raises
    ------
    FileError
        If it is no trained net.
    CheckError
        If it cannot be upgraded.
    google.protobuf.message.DecodeError, UnicodeDecodeError
        If the bytes can't be parsed.
    """
    net = parse_binary(raw)
    _check_names(path, net)
    with _named(path):
        upgrade_net(net, crop=crop)
    return net


def _check_names(path: str | PathLike[str], net: Any) -> None:
    """Refuse a net without layers, or with names that protobuf gives as raw bytes."""
    layers = [*net.layer]
    layers += [old.layer if old.HasField("layer") else old for old in net.layers]
    if not any(layer.name for layer in layers):
        raise FileError(f"{path}: no layer in it; {_EXPECTED}")
    for index, layer in enumerate(layers):
        if not isinstance(layer.name, str):
            raise FileError(
                f"{path}: layer {index}: name {layer.name!r} is not UTF-8; {_EXPECTED}"
            )


@contextmanager
def _named(path: str | PathLike[str]) -> Iterator[None]:
    """Put a file's name before the errors of upgrading."""
    try:
        yield
    except CheckError as error:
        raise CheckError(f"{path}: {error}") from error
