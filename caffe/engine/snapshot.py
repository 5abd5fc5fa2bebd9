"""Trained weights in files: ``.caffemodel`` (protobuf) and ``.caffemodel.h5``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import torch
from numpy.typing import NDArray

from caffe import atomic
from caffe.engine import gaps, hdf5
from caffe.engine.blob import Blob
from caffe.engine.gaps import Gap
from caffe.errors import CheckError, FileError
from caffe.glog import log
from caffe.proto import blobs as protos
from caffe.proto import wire
from caffe.proto.stored import (
    Numbers,
    StoredBlob,
    StoredLayer,
    opened_weights,
    serialise,
)

PathLike = str | os.PathLike[str]
_AXES_OF_KERNELS = 4
_BLOCK = 1 << 20  # numbers on their way from a file into a blob


class Entry(Protocol):
    """A place of a parameter blob in a layer; `owned`: not shared from another."""

    layer_name: str
    index: int
    blob: Blob
    owned: bool


class Writable(Protocol):
    """What this module writes: a net, or its parameters held in its stead."""

    @property
    def param_entries(self) -> Iterable[Any]:
        """All `Entry` of the net, in its order."""

    @property
    def _layer_names(self) -> list[str]:
        """Names of all layers in order."""

    @property
    def written_blobs(self) -> Iterable[Any]:
        """Blobs of every layer in order."""

    def outline(self) -> Any:
        """NetParameter with the blobs of every layer, without their numbers."""


class Trained(Writable, Protocol):
    """What this module needs of a net to load its weights."""

    @property
    def remembers(self) -> bool:
        """Whether a forward left its parameters to a backward."""


@dataclass
class _Copy:
    """Numbers on their way into a blob: all of it, or its first ones."""

    blob: Blob
    values: NDArray[Any]

    def make(self) -> None:
        if self.values.size == self.blob.count:
            self.blob.fill(torch.tensor(self.values, dtype=torch.float32))
        else:
            self.blob.data.reshape(-1)[: self.values.size] = self.values.reshape(-1)


def copy_trained_from(
    net: Trained, path: PathLike, *, complete: bool = False
) -> list[Gap]:
    """Load the weights of the layers that bear the same names.

    Parameters
    ----------
    net : Net
    path : path
        A ``.caffemodel``, or HDF5 by its content or its name.
    complete : bool, default False
        Weights that leave a parameter at the values of its filler are an error.

    Returns
    -------
    list of Gap
        The parameters that are left so.

    Raises
    ------
    FileError
        If the file is missing, truncated or something else. The net is unchanged
        then, unless what the file holds goes away while it is being copied.
    CheckError
        If it does not fit the net. The net is unchanged then.
    """
    if _is_hdf5(path):
        return copy_trained_from_hdf5(net, path, complete=complete)
    with opened_weights(path) as layers:
        left = gaps.of_layers(net.param_entries, layers, path)
        if complete:
            gaps.check(left, path)
        _copy_stored(net, layers, path)
    return left


def find_gaps(entries: Iterable[Any], path: PathLike) -> list[Gap]:
    """Find the parameters that a file of weights gives no values, or not all.

    Parameters
    ----------
    entries : iterable of Entry
        Of a net.
    path : path

    Raises
    ------
    FileError
        If the file is missing, truncated or something else.
    """
    if _is_hdf5(path):
        with hdf5.opened(path) as file:
            return gaps.of_group(entries, _weights_of(file, path))
    with opened_weights(path) as layers:
        return gaps.of_layers(entries, layers, path)


def blob_counts(path: PathLike | None) -> dict[str, int]:
    """Count the blobs of every layer in a file of weights; of no file, none.

    Raises
    ------
    FileError
        If the file is missing, truncated or something else.
    """
    if path is None:
        return {}
    if _is_hdf5(path):
        with hdf5.opened(path) as file:
            return {name: len(group) for name, group in _weights_of(file, path).items()}
    with opened_weights(path) as layers:
        return {layer.name: len(layer.blobs) for layer in layers}


def copy_trained_from_hdf5(
    net: Trained, path: PathLike, *, complete: bool = False
) -> list[Gap]:
    """Copy datasets ``data/<layer>/<index>`` into the layers of the same names.

    A parameter of another shape but as many axes is taken with a warning, as
    Freiburg's Caffe does: convolution kernels whose channels differ keep the values
    of their filler (the original overwrites some bytes of them, by mistake); of
    everything else the first numbers are copied, as many as the shorter first axis.

    Raises
    ------
    FileError
        If the file is missing, truncated or something else.
    CheckError
        If it does not fit the net. The net is unchanged then.
    """
    targets = _targets(net)
    copies: list[_Copy] = []
    with hdf5.opened(path) as file:
        data = _weights_of(file, path)
        left = gaps.of_group(net.param_entries, data)
        if complete:
            gaps.check(left, path)
        for name in _layers_of(data, targets):
            if name in targets:
                copies += _copies_of_layer(path, name, data[name], targets[name])
            else:
                log("net.cpp:823", f"Ignoring source layer {name}")
    for copy in copies:
        copy.make()
    return left


def draft_weights(
    net: Writable, path: PathLike, *, hdf5_format: bool, write_diff: bool = False
) -> atomic.Written:
    """Write all parameters into a file that is not yet in its place.

    Parameters
    ----------
    net : Net
    path : path
    hdf5_format : bool
        HDF5 instead of a binary NetParameter.
    write_diff : bool
        The gradients too; default False.

    Raises
    ------
    FileError
        If the file can't be written.
    """
    if hdf5_format:
        image = hdf5.image(lambda file: _fill_hdf5(net, file, write_diff=write_diff))
        return atomic.Written(path, [image])
    numbers = (
        (
            Numbers(blob.count, blob.values),
            Numbers(blob.count, blob.gradients) if write_diff else None,
        )
        for blob in net.written_blobs
    )
    return atomic.Written(path, serialise(net.outline(), wire.NET, numbers, path=path))


def write_weights(
    net: Writable, path: PathLike, *, hdf5_format: bool, write_diff: bool = False
) -> None:
    """Write all parameters in one piece: a failure leaves an old file as it was.

    Parameters and errors are those of `draft_weights`.
    """
    draft = draft_weights(net, path, hdf5_format=hdf5_format, write_diff=write_diff)
    with draft:
        draft.keep()


def find_beside(path: str, neighbour: PathLike) -> str:
    """Path as it is, or, where nothing is there, the file of that name beside another.

    Parameters
    ----------
    path : str
        As some file states it, relative to the working directory of its writer.
    neighbour : path
        That file.
    """
    beside = Path(neighbour).parent / Path(path).name
    # os.path has an answer for any text, Path not.
    if not os.path.exists(path) and os.path.exists(beside):  # noqa: PTH110
        log("solver.cpp:69", f"{path} is not there; using {beside}")
        return str(beside)
    return path


def _is_hdf5(path: PathLike) -> bool:
    return os.fspath(path).endswith(".h5") or hdf5.is_hdf5(path)


def _weights_of(file: Any, path: PathLike) -> Any:
    """Give the group of a file that holds a group for every layer."""
    data = file.get("data")
    if not hdf5.is_group(data):
        raise FileError(
            f"{path}: holds no weights: it has no group 'data', only "
            f"{', '.join(sorted(file)) or 'nothing'}"
        )
    return data


def _targets(net: Writable) -> dict[str, list[Entry]]:
    targets: dict[str, list[Entry]] = {name: [] for name in net._layer_names}
    for entry in net.param_entries:
        targets[entry.layer_name].append(entry)
    return targets


def _copy_stored(net: Trained, layers: Iterable[StoredLayer], path: PathLike) -> None:
    targets = _targets(net)
    pairs: list[tuple[Blob, StoredBlob]] = []
    for layer in layers:
        if layer.name not in targets:
            log("net.cpp:741", f"Ignoring source layer {layer.name}")
            continue
        entries = targets[layer.name]
        if len(layer.blobs) != len(entries):
            raise _other_number(path, layer.name, len(layer.blobs), len(entries))
        for entry, stored in zip(entries, layer.blobs, strict=True):
            _check_fits(path, entry, stored)
            pairs.append((entry.blob, stored))
    for blob, stored in pairs:
        _fill(blob.room(anew=net.remembers), stored)


def _check_fits(path: PathLike, entry: Entry, stored: StoredBlob) -> None:
    try:
        shape = protos.shape_of(stored.header)
        same = protos.same_shape(entry.blob.shape, stored.header)
        if same:
            protos.check_count(shape, stored.count)
    except CheckError as error:
        raise FileError(
            f"{path}: layer '{entry.layer_name}', param {entry.index}: {error}"
        ) from error
    if not same:
        raise _other_shape(path, entry, shape)


def _fill(room: torch.Tensor, stored: StoredBlob) -> None:
    """Copy numbers from a file, a few megabytes at a time, in the order of axes."""
    rows = room.view(-1) if room.is_contiguous() else room
    width = prod(rows.shape[1:])
    step = max(1, _BLOCK // max(1, width))
    for first in range(0, len(rows), step):
        block = rows[first : first + step]
        values = stored.part(first * width, first * width + block.numel())
        block.copy_(torch.from_numpy(values).view(block.shape))


def _layers_of(data: Any, targets: dict[str, list[Entry]]) -> list[str]:
    """Names of layers in a file, with those that contain slashes."""
    nested = [name for name in targets if "/" in name and name in data]
    prefixes = {name.split("/")[0] for name in nested} - set(targets)
    return sorted({*data, *nested} - prefixes)


def _copies_of_layer(
    path: PathLike, name: str, group: Any, entries: list[Entry]
) -> list[_Copy]:
    if not hdf5.is_group(group):
        raise FileError(f"{path}: {group.name} is no group of datasets")
    found = [key for key in group if not hdf5.is_group(group[key])]
    if len(found) > len(entries):
        raise _other_number(path, name, len(found), len(entries))
    copies = []
    for entry in entries:
        key = str(entry.index)
        if key in found:
            copies += _copy_of_dataset(path, entry, group[key])
        elif entry.owned:
            raise _other_number(path, name, len(found), len(entries))
    return copies


def _copy_of_dataset(path: PathLike, entry: Entry, dataset: Any) -> list[_Copy]:
    values = hdf5.read_numbers(dataset, path)
    source, target = values.shape, entry.blob.shape
    if source == target:
        return [_Copy(entry.blob, values)]
    kernels = len(target) == _AXES_OF_KERNELS
    if len(source) != len(target) or (kernels and source[2:] != target[2:]):
        raise _other_shape(path, entry, source)
    if kernels:
        _warn_resized(path, entry, source, "keeps the values of its filler")
        return []
    count = min(source[0], target[0])
    first = values.reshape(-1)[:count]
    _warn_resized(path, entry, source, f"gets the first {first.size} numbers only")
    return [_Copy(entry.blob, first)]


def _warn_resized(
    path: PathLike, entry: Entry, source: tuple[int, ...], outcome: str
) -> None:
    log(
        "net.cpp:850",
        f"{path}: layer '{entry.layer_name}', param {entry.index} has shape "
        f"{_shape_text(source)}, the net wants {_shape_text(entry.blob.shape)}: "
        f"it {outcome}",
        "W",
    )


def _other_number(path: PathLike, layer: str, found: int, wanted: int) -> CheckError:
    return CheckError(
        f"{path}: Incompatible number of blobs for layer {layer}: "
        f"the file has {found}, the net has {wanted}"
    )


def _other_shape(path: PathLike, entry: Entry, source: tuple[int, ...]) -> CheckError:
    return CheckError(
        f"{path}: Cannot copy param {entry.index} weights from layer "
        f"'{entry.layer_name}'; shape mismatch.  Source param shape is "
        f"{_shape_text(source)}; target param shape is "
        f"{_shape_text(entry.blob.shape)}. To learn this layer's parameters from "
        "scratch rather than copying from a saved net, rename the layer."
    )


def _shape_text(shape: tuple[int, ...]) -> str:
    return " ".join([*map(str, shape), f"({prod(shape)})"])


def _fill_hdf5(net: Writable, file: Any, *, write_diff: bool) -> None:
    data = file.create_group("data")
    diff = file.create_group("diff") if write_diff else None
    for name, entries in _targets(net).items():
        layer = data.require_group(name)
        gradients = diff.require_group(name) if diff is not None else None
        for entry in entries:
            if entry.owned:
                layer.create_dataset(str(entry.index), data=entry.blob.values())
            if gradients is not None:
                gradients.create_dataset(str(entry.index), data=entry.blob.gradients())
