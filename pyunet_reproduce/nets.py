"""Fit a model of ``prototxt/`` to a recipe: channels, classes, tiles, files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import caffe
from caffe import Axis
from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet.zoo import find_model
from pyunet_reproduce.recipes import Recipe

TRAIN, TEST = 0, 1  # Phase of caffe.proto
SNAPSHOTS = 20  # a training


@dataclass(frozen=True)
class NetFiles:
    """The files of one run.

    Attributes
    ----------
    deploy, train, solver : Path
    """

    deploy: Path
    train: Path
    solver: Path


def output_tile(recipe: Recipe, channels: int) -> tuple[int, ...]:
    """Give the pixels that the net gives for a training tile.

    Raises
    ------
    DataError
        A tile that the net does not take.

    Examples
    --------
    >>> from pyunet_reproduce.recipes import read_recipe
    >>> output_tile(read_recipe("isbi2012"), 1)
    (388, 388)
    """
    tile = recipe.net.input
    if recipe.net.whole:
        return tuple(tile)
    geometry = caffe.geometry(_deploy(recipe, channels), "data", "score")
    for axis, size in zip(geometry.axes, tile, strict=True):
        if not _fits(axis, size):
            raise DataError(
                f"{recipe.name}: tiles of {size} pixels for {recipe.net.name}; "
                f"expected {axis.smallest} + {axis.factor} k"
            )
    # also what saw padding: all of the net's scores are trained
    return tuple(
        geometry.extents(axis, size)["score"] for axis, size in enumerate(tile)
    )


def write_nets(
    recipe: Recipe, folder: Path, *, channels: int, source: Path, seed: int
) -> NetFiles:
    """Write the nets and the solver of one run.

    Parameters
    ----------
    recipe : Recipe
    folder : Path
        Where they go; snapshots go into its ``snapshots``.
    channels : int
        Of the prepared images.
    source : Path
        The list of HDF5 files.
    seed : int
        ``random_seed`` of the solver, plus 1: Caffe draws a seed of its own for 0.

    Returns
    -------
    NetFiles
    """
    files = NetFiles(*(folder / f"{n}.prototxt" for n in ("deploy", "train", "solver")))
    model = recipe.net.solver or recipe.net.name
    solver = caffe.read_solver(_file(model, "solver"))
    solver.net = str(files.train)
    solver.max_iter = recipe.training.iterations
    solver.snapshot = max(1, recipe.training.iterations // SNAPSHOTS)
    solver.snapshot_prefix = str(folder / "snapshots" / "net")
    solver.random_seed = seed + 1
    if recipe.training.base_lr:
        solver.base_lr = recipe.training.base_lr
    for path, message in (
        (files.deploy, _deploy(recipe, channels)),
        (files.train, _train(recipe, source)),
        (files.solver, solver),
    ):
        with atomic_path(path) as draft:
            draft.write_text(caffe.to_text(message), encoding="utf-8")
    return files


def _deploy(recipe: Recipe, channels: int) -> Any:
    net = caffe.read_net(_file(recipe.net.name, "deploy"))
    for layer in net.layer:
        if layer.type == "Input":
            shape = layer.input_param.shape[0]
            shape.dim[:] = [1, channels, *recipe.net.input]
    _set_classes(net, recipe.labels.classes)
    return net


def _train(recipe: Recipe, source: Path) -> Any:
    net = caffe.read_net(_file(recipe.net.name, "train"))
    kept = [
        layer
        for layer in net.layer
        if not any(rule.phase == TEST for rule in layer.include)
    ]
    del net.layer[:]
    net.layer.extend(kept)
    for layer in net.layer:
        if layer.type == "HDF5Data":
            layer.hdf5_data_param.source = str(source)
            layer.hdf5_data_param.batch_size = recipe.training.batch
        elif layer.type == "SoftmaxWithLoss":
            layer.loss_param.ignore_label = recipe.labels.classes
    _set_classes(net, recipe.labels.classes)
    return net


def _set_classes(net: Any, classes: int) -> None:
    """Give other scores the new number too: coarse ones, those to be interpolated."""
    before = _score_layer(net).convolution_param.num_output
    for layer in net.layer:
        how = layer.convolution_param
        if how.num_output == before:
            if how.group == before:  # each class is interpolated by itself
                how.group = classes
            how.num_output = classes


def _score_layer(net: Any) -> Any:
    """Find the layer with weights whose outputs become the scores."""
    makers = {top: layer for layer in net.layer for top in layer.top}
    layer = makers["score"]
    while not layer.convolution_param.num_output:
        layer = makers[layer.bottom[0]]
    return layer


def _file(model: str, name: str) -> Path:
    return find_model(model).parent / f"{name}.prototxt"


def _fits(axis: Axis, size: int) -> bool:
    return size >= axis.smallest and (size - axis.smallest) % axis.factor == 0
