"""Which parameters of a net a file of weights leaves at the values of their fillers.

Caffe says nothing about them: finetuning depends on it. A net that is to answer must
have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from caffe.engine.blob import Blob
from caffe.errors import CheckError, FileError
from caffe.glog import log
from caffe.proto import blobs as protos
from caffe.proto.stored import StoredLayer

Shape = tuple[int, ...]
_SHOWN = 4
_LONGEST = 60  # characters of a layer's name


class Entry(Protocol):
    """A place of a parameter blob in a layer."""

    layer_name: str
    index: int
    blob: Blob


_Place = tuple[Entry, Shape | None, bool]  # shape in the file, and whether it fits


@dataclass(frozen=True)
class Gap:
    """A parameter that a file of weights does not give, or not whole.

    Attributes
    ----------
    layer : str
    index : int
        Number of the parameter in its layer.
    wanted : tuple of int
        Shape in the net.
    found : tuple of int or None
        Shape in the file; None: it is not there.
    """

    layer: str
    index: int
    wanted: Shape
    found: Shape | None


def of_layers(
    entries: Iterable[Entry], layers: Iterable[StoredLayer], path: object
) -> list[Gap]:
    """Give the parameters that the layers of a ``.caffemodel`` do not fill.

    Raises
    ------
    FileError
        A shape that no blob can have; the text names the file `path`.
    """
    stored = {
        (layer.name, index): blob.header
        for layer in layers
        for index, blob in enumerate(layer.blobs)
    }

    def places() -> Iterator[_Place]:
        for entry in entries:
            header = stored.get((entry.layer_name, entry.index))
            if header is None:
                yield entry, None, False
                continue
            try:
                shape = protos.shape_of(header)
                same = protos.same_shape(entry.blob.shape, header)
            except CheckError as error:
                raise FileError(
                    f"{path}: layer {_quoted(entry.layer_name)}, param {entry.index}: "
                    f"{error}"
                ) from error
            yield entry, shape, same

    return _unfilled(places())


def of_group(entries: Iterable[Entry], data: Any) -> list[Gap]:
    """Give the parameters that the group ``data`` of an HDF5 file does not fill."""

    def places() -> Iterator[_Place]:
        for entry in entries:
            dataset = data.get(f"{entry.layer_name}/{entry.index}")
            shape = getattr(dataset, "shape", None)
            yield entry, shape, shape == entry.blob.shape

    return _unfilled(places())


def both(first: Iterable[Gap], second: Iterable[Gap]) -> list[Gap]:
    """Give the parameters that neither of two files fills."""
    places = {(gap.layer, gap.index) for gap in second}
    return [gap for gap in first if (gap.layer, gap.index) in places]


def describe(gaps: Sequence[Gap]) -> str:
    """Name the layers that get no weights, or none of their own shape.

    Examples
    --------
    >>> describe([Gap("a", 0, (3, 1), None), Gap("a", 1, (3,), None),
    ...           Gap("b", 0, (2, 3), (4, 3))])
    "no weights for layer 'a'; layer 'b' has weights of shape (4, 3), the net (2, 3)"
    """
    absent = list(dict.fromkeys(gap.layer for gap in gaps if gap.found is None))
    other = [gap for gap in gaps if gap.found is not None]
    parts = []
    if absent:
        layers = "layer" if len(absent) == 1 else "layers"
        names = ", ".join(_quoted(name) for name in absent[:_SHOWN])
        parts.append(f"no weights for {layers} {names}{_more(absent)}")
    parts += [
        f"layer {_quoted(gap.layer)} has weights of shape {gap.found}, the net "
        f"{gap.wanted}"
        for gap in other[:_SHOWN]
    ]
    return "; ".join(parts) + _more(other)


def check(gaps: Sequence[Gap], path: object) -> None:
    """Refuse weights that leave layers at the values of their fillers.

    Raises
    ------
    CheckError
        There are gaps; the text names the file, the layers and their shapes.
    """
    if gaps:
        raise CheckError(
            f"{path}: {describe(gaps)}; expected weights for every layer of the net"
        )


def warn(gaps: Sequence[Gap], path: object) -> None:
    """Log what stays at the values of its filler, if anything does."""
    if gaps:
        log(
            "net.cpp:760",
            f"{path}: {describe(gaps)}: they keep the values of their fillers, so what "
            "the net computes is not what was trained",
            "W",
        )


def _unfilled(places: Iterable[_Place]) -> list[Gap]:
    """Keep the places that are not filled; of those that share memory one is enough."""
    known = list(places)
    filled = {id(entry.blob.data_memory) for entry, _, fits in known if fits}
    gaps: dict[int, Gap] = {}
    for entry, found, _ in known:
        memory = id(entry.blob.data_memory)
        if memory not in filled and entry.blob.count:
            gap = Gap(entry.layer_name, entry.index, entry.blob.shape, found)
            gaps.setdefault(memory, gap)
    return list(gaps.values())


def _quoted(name: str) -> str:
    """Show a name that a file may have made long, or full of control characters."""
    return repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...")


def _more(items: Sequence[object]) -> str:
    more = len(items) - _SHOWN
    return f" and {more} more" if more > 0 else ""
