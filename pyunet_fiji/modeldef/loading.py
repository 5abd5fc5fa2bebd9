"""Load a model definition (``.modeldef.h5``) with its weights, ready to segment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import h5py

from caffe import Axis
from pyunet.errors import DataError
from pyunet.inference.engine import Model, choose_device, import_caffe
from pyunet.inference.tiling import Padding
from pyunet_fiji.modeldef import ModelDefinition, read_ident, read_modeldef
from pyunet_fiji.modeldef.nets import build_net, read_test_layers
from pyunet_fiji.modeldef.shapes import border, input_shape, smallest_k
from pyunet_fiji.modeldef.weights import Shapes, stored_shapes

SCORE = "score"
REFUSALS = (RuntimeError, OSError, ValueError)


def load_definition(
    path: str | Path, weights: str | Path, *, gpu: int | None = None
) -> tuple[Model, ModelDefinition]:
    """Load a model definition and weights in phase TEST.

    The net is an Input layer and the definition's text, as ``caffe_unet`` puts it
    together (tiled_predict.md, section 4). How many channels images have is read from
    the weights.

    Parameters
    ----------
    path : str or Path
        The ``.modeldef.h5``.
    weights : str or Path
        ``.caffemodel.h5`` or ``.caffemodel``.
    gpu : int, optional
        Number of the GPU to run on; default: the CPU.

    Returns
    -------
    model : Model
    definition : ModelDefinition

    Raises
    ------
    DataError
        A file that cannot be read; weights of another model: another ident, a layer
        that they lack, or one of another shape.
    """
    definition = read_modeldef(path)
    if definition.padding not in get_args(Padding):
        raise DataError(
            f"{path}: padding '{definition.padding}'; accepted are mirror and zero"
        )
    choose_device(import_caffe(), gpu)
    layers = _read_layers(path, definition)
    net, channels = _net_for(path, definition, layers, weights)
    with _refusing(path):
        net.copy_from(str(weights), complete=True)
    output = SCORE if SCORE in net.outputs else net.outputs[0]
    model = Model(
        deploy=Path(path),
        net=net,
        source=definition.input_blob_name,
        output=output,
        channels=channels,
        axes=tile_axes(definition),
        padding=cast(Padding, definition.padding),
        on_gpu=gpu is not None,
    )
    return model, definition


def check_weights(
    path: str | Path,
    definition: ModelDefinition,
    weights: str | Path,
    *,
    but: Sequence[str] = (),
) -> int:
    """Compare weights with the model that they are to be of, layer by layer.

    Parameters
    ----------
    path : str or Path
        Of the definition, for messages.
    definition : ModelDefinition
    weights : str or Path
    but : sequence of str
        Blobs whose layers may have other shapes.

    Returns
    -------
    int
        Channels of the images that the weights are for.

    Raises
    ------
    DataError
        They are of another model.
    """
    choose_device(import_caffe(), None)
    layers = _read_layers(path, definition)
    net, channels = _net_for(path, definition, layers, weights)
    free = {layer.name for layer in layers if {*layer.top} & {*but}}
    with _refusing(path):
        net.check_weights(str(weights), but=free)
    return channels


def tile_axes(definition: ModelDefinition) -> tuple[Axis, ...]:
    """Give the valid tile sizes that a definition states.

    Examples
    --------
    >>> tile_axes(ModelDefinition("id", "", "data", (1.0, 1.0), (16, 16), (60, 60),
    ...                           (-124, -124)))[0]
    Axis(factor=16, smallest=188, shrink=184, before=92, first=0)
    """
    smallest = input_shape(definition, smallest_k(definition))
    each = zip(
        definition.downsample_factor,
        smallest,
        definition.pad_input,
        definition.pad_output,
        border(definition),
        strict=True,
    )
    return tuple(
        Axis(factor, least, pad_in - pad_out, before)
        for factor, least, pad_in, pad_out, before in each
    )


def check_ident(
    path: str | Path, definition: ModelDefinition, weights: str | Path
) -> None:
    """Compare the model that weights say they are of with a definition's.

    Raises
    ------
    DataError
        They are of another one. Weights that do not say it are accepted.
    """
    if not h5py.is_hdf5(weights):
        return
    found = read_ident(weights)
    if found is not None and found != definition.ident:
        raise DataError(
            f"{weights}: are weights of the model '{found}'; {path} is "
            f"'{definition.ident}'"
        )


def _channels(
    layers: list[Any], shapes: Shapes, path: str | Path, weights: str | Path
) -> int:
    """Find how many channels the first layer with weights takes."""
    for layer in layers:
        found = shapes.get(layer.name, [])
        if layer.type == "Convolution" and found and len(found[0]) > 1:
            return found[0][1]
    raise DataError(
        f"{weights}: hold none of the convolutions of the model {path}; weights of "
        "that model are wanted"
    )


def _net_for(
    path: str | Path,
    definition: ModelDefinition,
    layers: list[Any],
    weights: str | Path,
) -> tuple[Any, int]:
    """Build the net for the images that weights are for."""
    shapes = stored_shapes(weights)
    check_ident(path, definition, weights)
    channels = _channels(layers, shapes, path, weights)
    net = _build(path, definition, channels)
    return net, channels


@contextlib.contextmanager
def _refusing(path: str | Path) -> Iterator[None]:
    """Say of which model weights should be, where the engine refuses them."""
    try:
        yield
    except REFUSALS as error:
        raise DataError(f"{error} (the model is {path})") from error


def _build(path: str | Path, definition: ModelDefinition, channels: int) -> Any:
    try:
        net = build_net(definition, channels)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if not net.outputs:
        raise DataError(f"{path}: its net gives no scores")
    return net


def _read_layers(path: str | Path, definition: ModelDefinition) -> list[Any]:
    try:
        return read_test_layers(definition.model_prototxt)
    except DataError as error:
        raise DataError(f"{path}: its net cannot be read: {error}") from error
