"""The net of a model definition: its text, its tile geometry, the net that segments."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from pyunet.errors import DataError
from pyunet.modeldef.definition import ModelDefinition
from pyunet.modeldef.shapes import Shape, input_shape, smallest_k
from pyunet.nets.geometry import Axis, find_axes, work_sizes
from pyunet.nets.layers import Layer, read_layers

SCORE = "score"
Layers = Sequence[Layer]


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
    return _parse(text, "NetParameter")


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
    return _parse(text, "SolverParameter")


def read_test_layers(text: str, axes: int) -> list[Layer]:
    """Read the layers of phase TEST from the text of a net.

    Parameters
    ----------
    text : str
    axes : int
        Spatial axes, 2 or 3.

    Returns
    -------
    list of Layer

    Raises
    ------
    DataError
        A text that is no net, or layers without an extent (global pooling).

    Examples
    --------
    >>> read_test_layers("layer { name: 'a' type: 'ReLU' bottom: 'b' }", 2)[0].kind
    'relu'
    """
    return read_layers(parse_net(text), axes)


def loose_ends(layers: Layers) -> tuple[list[str], list[str]]:
    """Find the blobs that no layer makes, and those that no layer takes.

    Parameters
    ----------
    layers : sequence of Layer
        In the order of the net.

    Returns
    -------
    (unmade, untaken) : tuple of list of str
        In the order of the net. Without Input layer, what is unmade in phase TEST is
        the input blob; what is untaken are the outputs.

    Examples
    --------
    >>> net = parse_net("layer { type: 'ReLU' bottom: 'data' top: 'score' }")
    >>> from pyunet.nets.layers import read_layers
    >>> net = "layer { type: 'ReLU' bottom: 'data' top: 'score' }"
    >>> loose_ends(read_test_layers(net, 2))
    (['data'], ['score'])
    """
    untaken: dict[str, bool] = {}
    unmade: dict[str, None] = {}
    for layer in layers:
        for blob in layer.bottoms:
            if blob not in untaken:
                unmade[blob] = None
            else:
                untaken[blob] = False
        untaken.update(dict.fromkeys(layer.tops, True))
    return list(unmade), [blob for blob, free in untaken.items() if free]


def find_geometry(layers: Layers, source: str, output: str) -> Geometry:
    """Find the tile sizes of a net from its layers; nothing is built or run.

    Parameters
    ----------
    layers : sequence of Layer
        Of phase TEST.
    source, output : str
        The blobs that take the image and give the scores.

    Returns
    -------
    Geometry

    Raises
    ------
    DataError
        A net that cannot be run by tiles (`pyunet.nets.geometry.find_axes`).

    Examples
    --------
    >>> net = '''
    ...     layer { name: "a" type: "Convolution" bottom: "data" top: "a"
    ...             convolution_param { kernel_size: 3 } }
    ...     layer { name: "b" type: "Pooling" bottom: "a" top: "b"
    ...             pooling_param { kernel_size: 2 stride: 2 } }
    ...     layer { name: "c" type: "Deconvolution" bottom: "b" top: "score"
    ...             convolution_param { kernel_size: 2 stride: 2 } }'''
    >>> find_geometry(read_test_layers(net, 2), "data", "score")
    Geometry(downsample_factor=(2, 2), pad_input=(2, 2), pad_output=(0, 0))
    """
    probed = list(_probed(layers, source))
    found = [
        _find_pads(probed, number, axis, source, output)
        for number, axis in enumerate(find_axes(layers, source, output))
    ]
    factors, before, after = zip(*found, strict=True)
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
    import caffe

    tile = input_shape(definition, smallest_k(definition))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model_prototxt")
        path.write_text(deploy_text(definition, channels, tile), encoding="utf-8")
        try:
            return caffe.Net(str(path), caffe.TEST)
        except (RuntimeError, OSError, ValueError) as error:
            raise DataError(str(error).replace(str(path), path.name)) from error


def _parse(text: str, kind: str) -> Any:
    from caffe.proto import caffe_pb2

    message = getattr(caffe_pb2, kind)()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise DataError(f"no {kind} that caffe can read: {error}") from error
    return message


def _probed(layers: Layers, source: str) -> Iterator[Layer]:
    """Put after every layer a convolution that shows the size of its top."""
    yield _probe(source, layers)
    for layer in layers:
        yield layer
        for top in layer.tops:
            yield _probe(top, layers)


def _probe(blob: str, layers: Layers) -> Layer:
    axes = len(layers[0].kernel) if layers else 0
    ones, zeros = (1,) * axes, (0,) * axes
    return Layer(
        _probe_name(blob),
        "convolution",
        (blob,),
        (),
        kernel=ones,
        stride=ones,
        pad=zeros,
        dilation=ones,
        offset=zeros,
        cropped=(False,) * axes,
    )


def _probe_name(blob: str) -> str:
    return f"\0{blob}"


def _find_pads(
    probed: Layers, number: int, axis: Axis, source: str, output: str
) -> tuple[int, int, int]:
    """Give factor and pads of one axis, k being the extent of the coarsest blob."""
    sizes, larger = (
        work_sizes(probed, number, source, axis.smallest + extra)
        for extra in (0, axis.factor)
    )
    growth = {
        name: larger[name] - size for name, size in sizes.items() if name[:1] == "\0"
    }
    coarsest = min(growth, key=growth.__getitem__)
    finer = axis.factor * sizes[coarsest]
    return (
        axis.factor,
        axis.smallest - finer,
        sizes[_probe_name(output)] - finer,
    )
