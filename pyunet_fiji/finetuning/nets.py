"""The net and the solver of a finetuning, made from a model definition.

What is changed is what the Fiji plugin changes, and nothing else: sources of the data,
the tile's shape, the classes of ``score``, and, to validate, a data layer before and
four layers behind the net.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import caffe
from caffe.errors import CaffeError
from pyunet.errors import DataError
from pyunet_fiji.modeldef import ModelDefinition
from pyunet_fiji.modeldef.shapes import input_shape, smallest_k

SCORE = "score"
DETECTION_PX = 3.0
DEFAULT_STEPS = 10  # of the downsampling factor above the smallest tile, as the plugin


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes
    ----------
    iterations : int
    rate : float
        Learning rate.
    gpu : bool
        Whether a GPU computes.
    validation_tiles : int
        0 for a training without validation.
    validation_interval : int
        Iterations between two validations.
    snapshot : int or None
        Iterations between two snapshots; None: one at the end, as the plugin.
    """

    iterations: int
    rate: float = 1e-4
    gpu: bool = False
    validation_tiles: int = 0
    validation_interval: int = 1
    snapshot: int | None = None


def default_tile(definition: ModelDefinition) -> tuple[int, ...]:
    """Give the input tile that the plugin proposes: 10 steps above the smallest.

    Returns
    -------
    tuple of int
        Pixels, (z)yx.
    """
    return input_shape(definition, [k + DEFAULT_STEPS for k in smallest_k(definition)])


def check_tile(definition: ModelDefinition, tile: Sequence[int]) -> tuple[int, ...]:
    """Take the extents of an input tile, if the net can do them.

    Parameters
    ----------
    definition : ModelDefinition
    tile : sequence of int
        Pixels, (z)yx; one number goes for all axes.

    Returns
    -------
    tuple of int

    Raises
    ------
    DataError
        Another number of axes; extents that the net cannot take, with those nearest.
    """
    axes = definition.dimensions
    wanted = tuple(tile) * axes if len(tile) == 1 else tuple(tile)
    if len(wanted) != axes:
        raise DataError(
            f"tile {_shown(tile)}: the model '{definition.ident}' has {axes} axes; "
            f"accepted are one number or {axes}"
        )
    least = smallest_k(definition)
    start = input_shape(definition, [0] * axes)
    lower = [
        max(first, (extent - offset) // factor)
        for extent, offset, factor, first in zip(
            wanted, start, definition.downsample_factor, least, strict=True
        )
    ]
    below = input_shape(definition, lower)
    if below == wanted:
        return wanted
    above = input_shape(
        definition,
        [
            k + (extent > valid)
            for k, extent, valid in zip(lower, wanted, below, strict=True)
        ],
    )
    nearest = " and ".join(dict.fromkeys(map(_shown, (below, above))))
    raise DataError(
        f"tile {_shown(wanted)}: is no input that the model '{definition.ident}' can "
        f"take; the nearest are {nearest}"
    )


def class_count(definition: ModelDefinition) -> int:
    """Give the classes that a model tells apart, background included.

    Raises
    ------
    DataError
        A model that cannot be finetuned: no Convolution gives the blob ``score``.
    """
    net = _net(definition)
    return int(_score_layer(net, definition).convolution_param.num_output)


def finetuned_definition(
    definition: ModelDefinition,
    *,
    ident: str,
    name: str,
    train_list: str,
    tile: Sequence[int],
    class_names: Sequence[str],
) -> ModelDefinition:
    """Make the model definition of the finetuned model (modeldef_h5.md, section 6).

    Parameters
    ----------
    definition : ModelDefinition
        Of the model to start from.
    ident, name : str
        Of the new one.
    train_list : str
        Every HDF5Data layer's new source.
    tile : sequence of int
        Extents of the input tile in pixels, (z)yx.
    class_names : sequence of str
        Background first.

    Returns
    -------
    ModelDefinition

    Raises
    ------
    DataError
        A model that cannot be finetuned, with what it lacks.
    """
    net = _net(definition)
    _set_sources(net, definition, train_list)
    deformations = [layer for layer in net.layer if layer.type == "CreateDeformation"]
    if not deformations:
        raise DataError(
            f"model '{definition.ident}': has no CreateDeformation layer, which cuts "
            "the training tiles: it cannot be finetuned"
        )
    for layer in deformations:
        param = layer.create_deformation_param
        axes = ("nz", "ny", "nx")[-len(tile) :]
        for axis, extent in zip(axes, tile, strict=True):
            setattr(param, axis, extent)
    score = _score_layer(net, definition).convolution_param
    if score.num_output != len(class_names):
        score.num_output = len(class_names)
    return replace(
        definition,
        ident=ident,
        name=name,
        model_prototxt=caffe.to_text(net),
        class_names=tuple(class_names),
    )


def run_prototxt(definition: ModelDefinition, *, valid_list: str | None = None) -> str:
    """Write the net of a finetuning.

    Parameters
    ----------
    definition : ModelDefinition
        From `finetuned_definition`.
    valid_list : str, optional
        The list of validation tiles; default: no validation.

    Returns
    -------
    str
        A prototxt.
    """
    net = _net(definition)
    if valid_list is not None:
        _add_validation(net, definition.input_blob_name, valid_list)
    text: str = caffe.to_text(net)
    return text


def run_solver(
    definition: ModelDefinition, schedule: Schedule, *, net: str, prefix: str
) -> str:
    """Write the solver of a finetuning: the model's own, with what the plugin sets.

    Parameters
    ----------
    definition : ModelDefinition
    schedule : Schedule
    net : str
        File of the net.
    prefix : str
        What snapshots' names begin with.

    Returns
    -------
    str
        A prototxt.

    Raises
    ------
    DataError
        A definition whose solver cannot be read.
    """
    with _naming(definition, "solver"):
        solver = caffe.parse_solver(definition.solver_prototxt, name="solver_prototxt")
    kind = type(solver)
    solver.net = net
    solver.base_lr = schedule.rate
    solver.max_iter = schedule.iterations
    solver.snapshot = schedule.snapshot or schedule.iterations
    solver.snapshot_prefix = prefix
    solver.lr_policy = "fixed"
    solver.type = "Adam"
    solver.snapshot_format = kind.HDF5
    solver.solver_mode = kind.GPU if schedule.gpu else kind.CPU
    # progress and curves come from the log
    solver.display = max(solver.display, 1)
    # a solver that tests needs tiles to test, and only those of this run
    del solver.test_iter[:]
    solver.ClearField("test_interval")
    if schedule.validation_tiles:
        solver.test_iter.append(schedule.validation_tiles)
        solver.test_interval = schedule.validation_interval
    text: str = caffe.to_text(solver)
    return text


def _set_sources(net: Any, definition: ModelDefinition, train_list: str) -> None:
    sources = [layer for layer in net.layer if layer.type == "HDF5Data"]
    if not sources:
        raise DataError(
            f"model '{definition.ident}': has no HDF5Data layer, which reads the "
            "training images: it cannot be finetuned"
        )
    for layer in sources:
        layer.hdf5_data_param.source = train_list


def _score_layer(net: Any, definition: ModelDefinition) -> Any:
    found = [
        layer
        for layer in net.layer
        if SCORE in layer.top and layer.HasField("convolution_param")
    ]
    if not found:
        raise DataError(
            f"model '{definition.ident}': no Convolution gives the blob '{SCORE}', "
            "whose channels are the classes: it cannot be finetuned"
        )
    return found[-1]


def _add_validation(net: Any, input_blob: str, valid_list: str) -> None:
    data = type(net)().layer.add()
    data.name, data.type = "loaddata_valid", "HDF5Data"
    data.top.extend([input_blob, "labels", "weights"])
    param = data.hdf5_data_param
    param.source, param.batch_size, param.shuffle = valid_list, 1, False
    _only_test(data)
    rest = list(net.layer)
    del net.layer[:]
    net.layer.extend([data, *rest])
    for name, kind in (
        ("loss_valid", "SoftmaxWithLoss"),
        ("IoU", "IoU"),
        ("F1_detection", "F1"),
        ("F1_segmentation", "F1"),
    ):
        layer = net.layer.add()
        layer.name, layer.type = name, kind
        layer.top.append(name)
        layer.bottom.extend([SCORE, "labels", "weights"])
        _only_test(layer)
        if name == "F1_detection":
            layer.f1_param.distance_mode = type(layer.f1_param).EUCLIDEAN
            layer.f1_param.distance_threshold = DETECTION_PX


def _only_test(layer: Any) -> None:
    from caffe.proto import caffe_pb2

    layer.include.add().phase = caffe_pb2.TEST


def _net(definition: ModelDefinition) -> Any:
    with _naming(definition, "net"):
        return caffe.parse_net(definition.model_prototxt, name="model_prototxt")


@contextmanager
def _naming(definition: ModelDefinition, what: str) -> Iterator[None]:
    try:
        yield
    except CaffeError as error:
        raise DataError(
            f"model '{definition.ident}': its {what} cannot be read: {error}"
        ) from error


def _shown(tile: Sequence[int]) -> str:
    return "x".join(map(str, tile))
