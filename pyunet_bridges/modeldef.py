"""A model for the Fiji plugin: ``.modeldef.h5`` and ``.caffemodel.h5``.

What the plugin finetunes needs layers of phase TRAIN, which a deploy prototxt has not:
such a definition is for segmenting. ``pyunet modeldef create`` makes one for both.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py

import caffe
from pyunet.errors import DataError
from pyunet.files import new_files
from pyunet_bridges.source import Source
from pyunet_fiji.modeldef import ModelDefinition, write_modeldef
from pyunet_fiji.modeldef.creating import complete_geometry, read_text_file
from pyunet_fiji.modeldef.definition import IDENT

LOG = logging.getLogger(__name__)
DEFINITION, WEIGHTS = ".modeldef.h5", ".caffemodel.h5"
SOLVER = "solver.prototxt"
SMALLEST_LARGEST = 1
NORMALISATIONS = {
    "none": 0,
    "smallest..largest": SMALLEST_LARGEST,
    "mean and deviation": 2,
    "vector norm": 3,
}


def write_model(
    source: Source, out: Path, *, element_size_um: Sequence[float] | None = None
) -> list[Path]:
    """Write a model definition and its weights, side by side.

    Parameters
    ----------
    source : Source
    out : Path
        The ``.modeldef.h5``.
    element_size_um : sequence of float, optional
        Micrometres a pixel of the images that the net expects, one number for all
        axes or one each. A definition or a trained model may say it itself.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    DataError
        A file of another name; a net that cannot be run by tiles; no pixel size.
    """
    if not out.name.endswith(DEFINITION):
        raise DataError(
            f"{out}: accepted for the plugin is a name that ends {DEFINITION}"
        )
    definition = source.definition or _define(source, element_size_um)
    weights = out.name.removesuffix(DEFINITION) + WEIGHTS
    with new_files(out.parent) as place:
        write_modeldef(place(out.name), definition)
        part = place(weights)
        source.net.save_hdf5(str(part))
        with h5py.File(part, "r+") as file:
            file[IDENT] = definition.ident
    return [out, out.with_name(weights)]


def _define(source: Source, element_size_um: Sequence[float] | None) -> ModelDefinition:
    """Make the definition of a prototxt."""
    model = source.tiled()
    axes = len(model.axes)
    text = _without_input(source.net)
    tiles = complete_geometry(text, axes, model.source)
    solver = source.path.with_name(SOLVER)
    LOG.warning(
        "%s: holds no layers of phase TRAIN, so the plugin segments with it but cannot "
        "finetune it; 'pyunet modeldef create' makes a definition of a net that does",
        source.path,
    )
    return ModelDefinition(
        ident=source.name,
        model_prototxt=text,
        input_blob_name=model.source,
        element_size_um=_element_size(source, element_size_um, axes),
        downsample_factor=tiles.downsample_factor,
        pad_input=tiles.pad_input,
        pad_output=tiles.pad_output,
        padding=model.padding,
        solver_prototxt=read_text_file(solver) if solver.is_file() else "",
        name=source.name,
        description=source.entry.what if source.entry else "",
        normalization_type=_normalisation(source),
        class_names=tuple(source.entry.classes) if source.entry else (),
    )


def _without_input(net: Any) -> str:
    """Give the text of the net without its Input layer: the plugin adds its own."""
    message = caffe.export.today(net)
    kept = [layer for layer in message.layer if layer.type != "Input"]
    del message.layer[:]
    message.layer.extend(kept)
    text: str = caffe.to_text(message)
    return text


def _element_size(
    source: Source, given: Sequence[float] | None, axes: int
) -> tuple[float, ...]:
    known = source.entry.input.pixel_size_um if source.entry else 0
    sizes = tuple(given or ((known,) if known else ()))
    if len(sizes) not in (1, axes):
        raise DataError(
            f"{source.path}: does not say how large pixels are; give --element-size-um "
            f"with 1 or {axes} numbers, e.g. 0.5"
        )
    return sizes * axes if len(sizes) == 1 else sizes


def _normalisation(source: Source) -> int:
    stated = source.entry.input.normalisation if source.entry else "by type"
    if stated not in NORMALISATIONS:
        LOG.warning(
            "%s: wants grey values normalised '%s', which the plugin does not know; "
            "there the smallest value becomes 0 and the largest 1",
            source.name,
            stated,
        )
    return NORMALISATIONS.get(stated, SMALLEST_LARGEST)
