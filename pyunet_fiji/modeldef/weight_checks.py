"""Check whether trained weights fit the net of a model definition.

The rules are those of loading (caffe_unet_layers.md, section 17): an HDF5 file with
other channel counts is loaded all the same, which leaves layers random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py

from pyunet.errors import DataError
from pyunet_fiji.modeldef.definition import IDENT, ModelDefinition, read_ident
from pyunet_fiji.modeldef.findings import Effect, Finding
from pyunet_fiji.modeldef.nets import build_net
from pyunet_fiji.modeldef.weights import Shapes, stored_shapes

CAFFE_UNET, _, _, WRONG, NOTE = Effect
Shape = tuple[int, ...]
IMAGE_AXES = 4
MOST_NAMES = 4


def check_weights(definition: ModelDefinition, path: str | Path) -> Iterator[Finding]:
    """Compare the ident of weights, their layers and shapes with a model.

    How many channels images have is taken from the weights' first layer.

    Parameters
    ----------
    definition : ModelDefinition
    path : str or Path
        ``.caffemodel.h5`` or ``.caffemodel``, told by content.

    Yields
    ------
    Finding

    Raises
    ------
    DataError
        No such file.
    """
    where = str(path)
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file; weights are wanted")
    hdf5 = h5py.is_hdf5(path)
    try:
        ident = read_ident(path) if hdf5 else None
        stored = stored_shapes(path)
    except DataError as error:
        what = str(error).removeprefix(f"{path}: ")
        yield Finding(CAFFE_UNET, where, what, "a .caffemodel.h5 or .caffemodel file")
        return
    if ident is not None and ident != definition.ident:
        what = f"{IDENT} is '{ident}', that of the model is '{definition.ident}'"
        yield Finding(CAFFE_UNET, where, what, "equal idents, or weights without one")
    try:
        channels, wanted = _net_shapes(definition, stored)
    except DataError as error:
        yield Finding(CAFFE_UNET, where, str(error), "weights of this net")
        return
    if channels != 1:
        what = f"is for images of {channels} channels"
        yield Finding(NOTE, where, what, "images with as many channels")
    yield from compare_shapes(wanted, stored, where, hdf5=hdf5)


def compare_shapes(
    wanted: Shapes, stored: Shapes, where: str, *, hdf5: bool
) -> Iterator[Finding]:
    """Compare the parameters of a net with stored ones.

    Parameters
    ----------
    wanted, stored : mapping of str to sequence of tuple of int
        Shapes of every layer's parameters.
    where : str
        The weights' file.
    hdf5 : bool
        Whether they come from HDF5, where other channel counts are no error.

    Yields
    ------
    Finding

    Examples
    --------
    >>> net, file = {"conv": [(2, 64, 1, 1)]}, {"conv": [(3, 64, 1, 1)]}
    >>> [found.effect.name for found in compare_shapes(net, file, "w.h5", hdf5=True)]
    ['WRONG']
    >>> [found.effect.name for found in compare_shapes(net, file, "w", hdf5=False)]
    ['CAFFE_UNET']
    """
    absent = [name for name in wanted if name not in stored]
    if absent:
        what = f"lacks {_listed(absent)}, which only a training may draw at random"
        yield Finding(CAFFE_UNET, where, what, "weights of all layers of the net")
    unknown = [name for name, shapes in stored.items() if shapes and name not in wanted]
    if unknown:
        what = f"has {_listed(unknown)}, which the net has not; not used"
        yield Finding(NOTE, where, what, "weights of the net's layers")
    found = [
        finding
        for name in wanted
        if name in stored
        for finding in _compare(name, wanted[name], stored[name], where, hdf5)
    ]
    for effect in (CAFFE_UNET, WRONG):
        same = [finding for finding in found if finding.effect is effect]
        yield from same[:MOST_NAMES]
        if len(same) > MOST_NAMES:
            what = f"{len(same) - MOST_NAMES} more arrays do not fit"
            yield Finding(effect, where, what, "weights of this net")


def _compare(
    name: str, wanted: Sequence[Shape], stored: Sequence[Shape], where: str, hdf5: bool
) -> Iterator[Finding]:
    if len(wanted) != len(stored):
        what = f"layer '{name}' has {len(stored)} arrays, in the net {len(wanted)}"
        yield Finding(CAFFE_UNET, where, what, "as many as in the net")
        return
    for number, (net, file) in enumerate(zip(wanted, stored, strict=True)):
        if _equal(net, file, hdf5):
            continue
        kernels = len(net) == IMAGE_AXES and net[2:] != file[2:]
        fatal = not hdf5 or len(net) != len(file) or kernels
        what = f"layer '{name}', array {number}: shape {file}, in the net {net}"
        if fatal:
            yield Finding(CAFFE_UNET, where, what, "the shape in the net")
        else:
            what += ": it is loaded in part, and the rest stays random"
            yield Finding(WRONG, where, what, "the shape in the net")


def _equal(net: Shape, file: Shape, hdf5: bool) -> bool:
    """Compare shapes; old binary files have four axes, the first ones being 1."""
    return net == file or (not hdf5 and _without_ones(net) == _without_ones(file))


def _without_ones(shape: Shape) -> Shape:
    first = next((i for i, extent in enumerate(shape) if extent != 1), len(shape))
    return shape[first:]


def _net_shapes(definition: ModelDefinition, stored: Shapes) -> tuple[int, Shapes]:
    """Build the net, for as many channels as the first layer of the weights has."""
    wanted = _shapes(build_net(definition))
    first = next(iter(wanted), "")
    net, file = wanted.get(first, [()])[0], next(iter(stored.get(first, ())), ())
    if len(net) == len(file) > 1 and net[1] == 1 < file[1]:
        return file[1], _shapes(build_net(definition, channels=file[1]))
    return 1, wanted


def _shapes(net: Any) -> Shapes:
    return {
        name: [tuple(int(extent) for extent in blob.shape) for blob in blobs]
        for name, blobs in net.params.items()
    }


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    shown = ", ".join(names[:MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown
