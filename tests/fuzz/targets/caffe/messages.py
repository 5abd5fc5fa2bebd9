"""Weights, states and arrays in binary messages, and the text of nets and solvers."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from caffe.engine import graph
from caffe.engine.solvers import state
from caffe.errors import CaffeError
from caffe.proto import blobs, caffe_pb2, files, stored, text
from tests.fuzz import corpus
from tests.fuzz.mutation import mutate_bytes, mutate_message
from tests.fuzz.target import Target, refusing

Mutate = Callable[[list[bytes], random.Random], bytes]


def in_binary(kind: Any) -> Mutate:
    """Give a mutation of messages of a kind in their binary form."""

    def mutate(sound: list[bytes], rng: random.Random) -> bytes:
        raw = rng.choice(sound)
        try:
            message = kind.FromString(raw)
        except DecodeError:
            return mutate_bytes([raw], rng)
        mutate_message(message, rng)
        return bytes(message.SerializePartialToString())

    return mutate


def in_text(*kinds: Any) -> Mutate:
    """Give a mutation of messages of the first kind that a text can be read as."""

    def mutate(sound: list[bytes], rng: random.Random) -> bytes:
        raw = rng.choice(sound)
        for kind in kinds:
            try:
                message = text_format.Parse(raw.decode(), kind())
            except (text_format.ParseError, UnicodeDecodeError):
                continue
            mutate_message(message, rng)
            return text_format.MessageToString(message).encode(errors="replace")
        return mutate_bytes([raw], rng)

    return mutate


def _prototxt(data: bytes, folder: Path) -> None:
    path = folder / "input.prototxt"
    path.write_bytes(data)
    with refusing():
        net = files.read_net(path, crop="coordinate_maps")
        text.parse_text(text.to_text(net), caffe_pb2.NetParameter())
        graph.insert_splits(graph.filter_net(net))


def _solver_text(data: bytes, folder: Path) -> None:
    path = folder / "input.prototxt"
    path.write_bytes(data)
    with refusing():
        files.read_solver(path)


def _caffemodel(data: bytes, folder: Path) -> None:
    """Numbers that are left in the file are those of the messages."""
    path = folder / "input.caffemodel"
    path.write_bytes(data)
    with refusing():
        text.to_text(files.read_net_binary(path, crop="coordinate_maps"))
    by_messages, in_place = _weights_by_messages(path), _weights_in_place(path)
    if by_messages != in_place:
        raise AssertionError(f"{by_messages} by messages, {in_place} in place")
    with refusing():
        corpus.small_net().copy_from(path)


def _weights_by_messages(path: Path) -> list[tuple[str, list[bytes]]] | None:
    """Names and numbers of the layers; None if the file is refused."""
    try:
        return [
            (layer.name, [blobs.values_of(blob).tobytes() for blob in layer.blobs])
            for layer in files.read_net_binary(path).layer
        ]
    except CaffeError:
        return None


def _weights_in_place(path: Path) -> list[tuple[str, list[bytes]]] | None:
    try:
        with stored.opened_weights(path) as layers:
            return [
                (
                    layer.name,
                    [blob.part(0, blob.count).tobytes() for blob in layer.blobs],
                )
                for layer in layers
            ]
    except CaffeError:
        return None


def _solverstate(data: bytes, folder: Path) -> None:
    path = folder / "input.solverstate"
    path.write_bytes(data)
    with refusing():
        state.read(path)


def _binaryproto(data: bytes, folder: Path) -> None:
    path = folder / "input.binaryproto"
    path.write_bytes(data)
    with refusing():
        blobs.read(path, "an array")


def _solvers() -> dict[str, bytes]:
    return {
        "small": corpus.SOLVER.encode(),
        "old": (corpus.TESTS / "reference/upgrade/solver_old.prototxt").read_bytes(),
    }


TARGETS = (
    Target("prototxt", _prototxt, corpus.prototxts, in_text(caffe_pb2.NetParameter)),
    Target("solver_text", _solver_text, _solvers, in_text(caffe_pb2.SolverParameter)),
    Target(
        "caffemodel", _caffemodel, corpus.caffemodels, in_binary(caffe_pb2.NetParameter)
    ),
    Target(
        "solverstate",
        _solverstate,
        corpus.solverstates,
        in_binary(caffe_pb2.SolverState),
    ),
    Target(
        "binaryproto",
        _binaryproto,
        corpus.binaryprotos,
        in_binary(caffe_pb2.BlobProto),
    ),
)
