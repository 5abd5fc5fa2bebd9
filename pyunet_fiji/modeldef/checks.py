"""Say in plain words what is wrong with a model definition, before others refuse it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from pyunet_fiji.modeldef import definition as names
from pyunet_fiji.modeldef.datasets import (
    DatasetError,
    open_file,
    read_element_size,
    read_factors,
    read_integer,
    read_memory_map,
    read_scalar,
    read_text,
    read_texts,
    read_vector,
)
from pyunet_fiji.modeldef.definition import LossWeights, ModelDefinition, read_modeldef
from pyunet_fiji.modeldef.findings import Effect, Finding
from pyunet_fiji.modeldef.net_checks import check_net, check_solver
from pyunet_fiji.modeldef.shapes import plugin_minimal_output
from pyunet_fiji.modeldef.weight_checks import check_weights

CAFFE_UNET, PLUGIN, FINETUNING, WRONG, NOTE = Effect
PADDINGS = ("mirror", "zero")
NORMALIZATIONS = (0, 1, 2, 3)
TEXTS = (names.IDENT, names.MODEL, names.INPUT_BLOB, names.PADDING)
WHOLE = (names.DOWNSAMPLE, names.PAD_INPUT, names.PAD_OUTPUT, names.NORMALIZATION)
FALLBACK = (
    "all four of borderWeightFactor, borderWeightSigmaPx, foregroundBackgroundRatio "
    "and sigma1Px, in pixels"
)


def check_modeldef(
    path: str | Path, *, weights: str | Path | None = None
) -> list[Finding]:
    """Check a model definition for both of its readers, and its net.

    Parameters
    ----------
    path : str or Path
        ``.modeldef.h5``.
    weights : str or Path, optional
        ``.caffemodel.h5`` or ``.caffemodel`` that should fit the model.

    Returns
    -------
    list of Finding
        Empty if all is well; `problems` of the module `findings` keeps what is grave.

    Raises
    ------
    DataError
        No such file, or no HDF5 file.

    Examples
    --------
    >>> import tempfile
    >>> from pyunet_fiji.modeldef import write_modeldef
    >>> model = ModelDefinition("tiny", "name: 'no layers'", "data", (1.0, 1.0),
    ...                         (4, 4), (12, 12), (-28, -28), padding="reflect")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_modeldef(Path(folder, "m.h5"), model)
    ...     print(check_modeldef(Path(folder, "m.h5"))[0])
    [caffe_unet refuses] /unet_param/padding: is 'reflect'
        accepted: 'mirror' or 'zero'
    """
    with open_file(path) as file:
        findings = list(_check_datasets(file))
    if any(found.effect is CAFFE_UNET for found in findings):
        return findings
    definition = read_modeldef(path)
    findings += check_values(definition)
    if names.SOLVER not in definition.missing:
        findings += check_solver(definition.solver_prototxt)
    found = list(check_net(definition))
    findings += found
    if weights is not None and not any(
        finding.effect is CAFFE_UNET for finding in found
    ):
        findings += check_weights(definition, weights)
    return findings


def check_values(definition: ModelDefinition) -> Iterator[Finding]:
    """Check what numbers and names of a definition say, without looking at its net."""
    yield from _check_ident(definition.ident)
    if definition.padding not in PADDINGS:
        what = f"is '{definition.padding}'"
        yield Finding(CAFFE_UNET, names.PADDING, what, "'mirror' or 'zero'")
    if definition.normalization_type not in NORMALIZATIONS:
        what = f"is {definition.normalization_type}"
        accepted = "0 none, 1 min/max, 2 mean/deviation, 3 longest vector"
        yield Finding(WRONG, names.NORMALIZATION, what, accepted)
    if not all(0 < size < math.inf for size in definition.element_size_um):
        what = f"is {definition.element_size_um}"
        accepted = "micrometres a pixel, above 0"
        yield Finding(WRONG, names.ELEMENT_SIZE, what, accepted)
    if definition.disk_radius_px < 0:
        what = f"is {definition.disk_radius_px}"
        yield Finding(WRONG, names.DISK_RADIUS, what, "pixels, 0 or more")
    yield from _check_loss_weights(definition.loss_weights)
    yield from _check_classes(definition.class_names)
    yield from _check_memory_map(definition.memory_map)
    yield from _check_minimal_tile(definition)


def _check_datasets(file: h5py.File) -> Iterator[Finding]:
    """Read every dataset as its readers would."""
    axes = 2
    try:
        axes = len(read_element_size(file, names.ELEMENT_SIZE))
    except DatasetError as error:
        yield _refused(CAFFE_UNET, error)
    for effect, readers in _readers(axes).items():
        for name, read in readers.items():
            if effect is NOTE and name not in file:
                continue
            try:
                read(file, name)
            except DatasetError as error:
                yield _refused(PLUGIN if effect is NOTE else effect, error)
    yield from _check_types(file)
    yield from _check_loss_datasets(file)


def _readers(axes: int) -> dict[Effect, dict[str, Any]]:
    """Give the datasets with their readers, by who refuses to do without them."""

    def vector(file: h5py.File, name: str) -> tuple[int, ...]:
        return read_vector(file, name, axes)

    def factors(file: h5py.File, name: str) -> tuple[int, ...]:
        return read_factors(file, name, axes)

    return {
        CAFFE_UNET: {
            **dict.fromkeys(TEXTS, read_text),
            names.DOWNSAMPLE: factors,
            names.PAD_INPUT: vector,
            names.PAD_OUTPUT: vector,
        },
        PLUGIN: {
            names.SOLVER: read_text,
            names.NAME: read_text,
            names.DESCRIPTION: read_text,
            names.NORMALIZATION: read_integer,
        },
        NOTE: {
            names.INPUT_DATASET: read_text,
            names.DISK_RADIUS: read_integer,
            names.CLASS_NAMES: read_texts,
            names.MEMORY_MAP: read_memory_map,
            **dict.fromkeys(names.LOSS_WEIGHTS.values(), read_scalar),
        },
    }


def _refused(effect: Effect, error: DatasetError) -> Finding:
    return Finding(effect, error.name, error.what, error.accepted)


def _check_types(file: h5py.File) -> Iterator[Finding]:
    """Note types that not every reader takes."""
    kinds = {
        name: file[name].dtype
        for name in (*TEXTS, *WHOLE)
        if isinstance(file.get(name), h5py.Dataset)
    }
    for name, kind in kinds.items():
        text = h5py.check_string_dtype(kind)
        if text is not None and text.length is None:
            yield Finding(
                NOTE,
                name,
                "is a text of variable length, which the original caffe_unet reads as "
                "garbage",
                "text of fixed length",
            )
        if kind.kind == "f":
            yield Finding(NOTE, name, f"has type {kind}", "whole numbers (int32)")


def _check_loss_datasets(file: h5py.File) -> Iterator[Finding]:
    """Say when the plugin falls back to its own parameters of the loss."""
    absent = [name for name in names.LOSS_WEIGHTS.values() if name not in file]
    if not absent:
        return
    where = names.WEIGHTS.rstrip("/")
    group = file.get(where)
    there = sorted(group) if isinstance(group, h5py.Group) else []
    what = "has none of the parameters of the loss"
    if there:
        lacks = ", ".join(name.rpartition("/")[2] for name in absent)
        what = f"has {', '.join(there)}, but not {lacks}"
    if any(name.endswith("_um") for name in there):
        what += " (those in micrometres, of MATLAB, are not read)"
    yield Finding(
        NOTE,
        where,
        f"{what}: finetuning takes those of ImageJ's preferences, or 50, 6, 0.1 and 10",
        FALLBACK,
    )


def _check_ident(ident: str) -> Iterator[Finding]:
    accepted = "letters, digits, '.', '_' and '-'; one for each model"
    if not ident or "/" in ident:
        yield Finding(
            WRONG,
            names.IDENT,
            f"is '{ident}', and files of the plugin are named by it",
            accepted,
        )
    elif not all(
        sign.isascii() and (sign.isalnum() or sign in "._-") for sign in ident
    ):
        yield Finding(
            NOTE,
            names.IDENT,
            f"is '{ident}': over SSH the plugin does not quote file names",
            accepted,
        )


def _check_loss_weights(weights: LossWeights) -> Iterator[Finding]:
    for field, name in names.LOSS_WEIGHTS.items():
        value = getattr(weights, field)
        sigma = "sigma" in field
        if not (value > 0 if sigma else value >= 0) or value == math.inf:
            accepted = "pixels, above 0" if sigma else "a number of 0 or more"
            yield Finding(WRONG, name, f"is {value:g}", accepted)


def _check_classes(classes: tuple[str, ...]) -> Iterator[Finding]:
    if classes and classes[0] != "Background":
        what = f"begins with '{classes[0]}'"
        yield Finding(NOTE, names.CLASS_NAMES, what, "'Background' first")


def _check_memory_map(memory_map: tuple[tuple[int, int], ...]) -> Iterator[Finding]:
    pixels = [column[0] for column in memory_map]
    megabytes = [column[1] for column in memory_map]
    accepted = "input pixels above 0, megabytes ascending from left to right"
    if pixels and min(pixels) < 1:
        what = f"has a tile of {min(pixels)} pixels (on a GPU)"
        yield Finding(CAFFE_UNET, names.MEMORY_MAP, what, accepted)
    if megabytes != sorted(megabytes):
        what = "is not ascending, so it is not read beyond the first larger number"
        yield Finding(NOTE, names.MEMORY_MAP, what, accepted)


def _check_minimal_tile(definition: ModelDefinition) -> Iterator[Finding]:
    minimal = plugin_minimal_output(definition)
    if 0 in minimal:
        shape = "x".join(map(str, minimal))
        yield Finding(
            NOTE,
            names.PAD_OUTPUT,
            f"is a multiple of downsampleFactor: the smallest tile that the plugin "
            f"offers is {shape}, which caffe_unet refuses",
            "larger tiles in the plugin's dialog",
        )
