"""The net of a model definition: its text, its tile geometry, the net that segments."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import caffe
from caffe.errors import CaffeError
from caffe.proto.text import parse_text
from pyunet.errors import DataError
from pyunet_fiji.modeldef.definition import ModelDefinition
from pyunet_fiji.modeldef.shapes import Shape, input_shape, smallest_k

SCORE = "score"
Layers = Sequence[Any]  # LayerParameter


@dataclass(frozen=True)
class Geometry:
    """Tile sizes of a net, (z)yx: inputs, outputs ``factor * k + pad``.

    Attributes
    ----------
    downsample_factor, pad_input, pad_output : tuple of int
        As in `ModelDefinition`; k is the extent where the net is coarsest.
    """

    downsample_factor: Shape
    pad_input: Shape
    pad_output: Shape


def parse_net(text: str) -> Any:
    """Parse the text of a net, as ``caffe_unet`` does: nothing is upgraded.

    Raises
    ------
    DataError
        No such text, or a field that this caffe does not know.

    Examples
    --------
    >>> parse_net("name: 'tiny'").name
    'tiny'
    """
    from caffe.proto import caffe_pb2

    with _refused("NetParameter"):
        return parse_text(text, caffe_pb2.NetParameter(), name="model_prototxt")


def parse_solver(text: str) -> Any:
    """Parse the text of a solver.

    Raises
    ------
    DataError
        No such text, or a field that this caffe does not know.

    Examples
    --------
    >>> parse_solver("debug_info: 0 display: 1").display
    1
    """
    with _refused("SolverParameter"):
        return caffe.parse_solver(text, name="solver_prototxt")


def read_test_layers(text: str) -> list[Any]:
    """Read the layers of phase TEST from the text of a net.

    Returns
    -------
    list of LayerParameter

    Raises
    ------
    DataError
        A text that is no net, or rules that contradict each other.

    Examples
    --------
    >>> read_test_layers("layer { name: 'a' type: 'ReLU' bottom: 'b' }")[0].type
    'ReLU'
    """
    net = parse_net(text)
    net.state.phase = caffe.TEST
    try:
        return list(caffe.filter_net(net, tell=False).layer)
    except ValueError as error:
        raise DataError(str(error)) from error


def loose_ends(layers: Layers) -> tuple[list[str], list[str]]:
    """Find the blobs that no layer makes, and those that no layer takes.

    Parameters
    ----------
    layers : sequence of LayerParameter
        In the order of the net.

    Returns
    -------
    (unmade, untaken) : tuple of list of str
        In the order of the net. Without Input layer, what is unmade in phase TEST is
        the input blob; what is untaken are the outputs.

    Examples
    --------
    >>> net = "layer { type: 'ReLU' bottom: 'data' top: 'score' }"
    >>> loose_ends(read_test_layers(net))
    (['data'], ['score'])
    """
    untaken: dict[str, bool] = {}
    unmade: dict[str, None] = {}
    for layer in layers:
        for blob in layer.bottom:
            if blob not in untaken:
                unmade[blob] = None
            else:
                untaken[blob] = False
        untaken.update(dict.fromkeys(layer.top, True))
    return list(unmade), [blob for blob, free in untaken.items() if free]


def find_geometry(layers: Layers, source: str, output: str, axes: int) -> Geometry:
    """Find the tile sizes of a net from its layers; nothing is built or run.

    Parameters
    ----------
    layers : sequence of LayerParameter
        Of phase TEST.
    source, output : str
        The blobs that take the image and give the scores.
    axes : int
        Spatial axes, 2 or 3.

    Returns
    -------
    Geometry

    Raises
    ------
    DataError
        A net that cannot be run by tiles (`caffe.geometry`).

    Examples
    --------
    >>> net = '''
    ...     layer { name: "a" type: "Convolution" bottom: "data" top: "a"
    ...             convolution_param { kernel_size: 3 } }
    ...     layer { name: "b" type: "Pooling" bottom: "a" top: "b"
    ...             pooling_param { kernel_size: 2 stride: 2 } }
    ...     layer { name: "c" type: "Deconvolution" bottom: "b" top: "score"
    ...             convolution_param { kernel_size: 2 stride: 2 } }'''
    >>> find_geometry(read_test_layers(net), "data", "score", 2)
    Geometry(downsample_factor=(2, 2), pad_input=(2, 2), pad_output=(0, 0))
    """
    from caffe.proto import caffe_pb2

    net = caffe_pb2.NetParameter(layer=layers)
    try:
        found = caffe.geometry(net, source, output, axes=axes)
    except ValueError as error:
        raise DataError(str(error)) from error
    pads = [_find_pads(found, axis) for axis in range(axes)]
    factors, before, after = zip(*pads, strict=True)
    return Geometry(factors, before, after)


def deploy_text(definition: ModelDefinition, channels: int, tile: Shape) -> str:
    """Give the text of the net for one tile in phase TEST (tiled_predict.md 4).

    Parameters
    ----------
    definition : ModelDefinition
    channels : int
        Channels of the image.
    tile : tuple of int
        Input tile, (z)yx.

    Returns
    -------
    str

    Examples
    --------
    >>> model = ModelDefinition("id", "# layers", "data3", (1.0, 1.0), (16, 16),
    ...                         (60, 60), (-124, -124))
    >>> print(deploy_text(model, 1, (188, 188)))
    state: { phase: TEST }
    layer { name: "data3" type: "Input" top: "data3"
      input_param { shape { dim: 1 dim: 1 dim: 188 dim: 188 } } }
    # layers
    """
    blob = json.dumps(definition.input_blob_name, ensure_ascii=False)
    dims = " ".join(f"dim: {extent}" for extent in (1, channels, *tile))
    return (
        "state: { phase: TEST }\n"
        f'layer {{ name: {blob} type: "Input" top: {blob}\n'
        f"  input_param {{ shape {{ {dims} }} }} }}\n"
        f"{definition.model_prototxt}"
    )


def build_net(definition: ModelDefinition, channels: int = 1) -> Any:
    """Build the net of phase TEST for the smallest tile, without weights.

    It computes where caffe is told to, by ``caffe.set_mode_gpu``.

    Parameters
    ----------
    definition : ModelDefinition
    channels : int, default 1
        Channels of the image.

    Returns
    -------
    caffe.Net

    Raises
    ------
    DataError
        A net that caffe refuses.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    tile = input_shape(definition, smallest_k(definition))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model_prototxt")
        path.write_text(deploy_text(definition, channels, tile), encoding="utf-8")
        try:
            return caffe.Net(str(path), caffe.TEST)
        except (RuntimeError, OSError, ValueError) as error:
            raise DataError(str(error).replace(str(path), path.name)) from error


@contextmanager
def _refused(kind: str) -> Iterator[None]:
    try:
        yield
    except CaffeError as error:
        raise DataError(f"no {kind} that caffe can read: {error}") from error


def _find_pads(net: caffe.Geometry, axis: int) -> tuple[int, int, int]:
    """Give factor and pads of one axis, k being the extent of the coarsest blob."""
    factor, smallest = net.axes[axis].factor, net.axes[axis].smallest
    sizes, larger = (net.extents(axis, smallest + extra) for extra in (0, factor))
    coarsest = min(sizes, key=lambda name: larger[name] - sizes[name])
    finer = factor * sizes[coarsest]
    return factor, smallest - finer, sizes[net.output] - finer
