"""A model definition (``.modeldef.h5``): a net with what its users must know of it.

`read_modeldef` asks for no more than ``caffe_unet`` does; `ModelDefinition.missing`
names what the Fiji plugin would miss. `write_modeldef` writes what both can read: texts
of fixed length, vectors of rank 1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from pyunet.errors import DataError
from pyunet_fiji.modeldef.datasets import (
    DIMENSIONS,
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
from pyunet_fiji.modeldef.writing import write_datasets

IDENT = "/.unet-ident"
MODEL = "/model_prototxt"
SOLVER = "/solver_prototxt"
PARAM = "/unet_param/"
NAME = PARAM + "name"
DESCRIPTION = PARAM + "description"
INPUT_BLOB = PARAM + "input_blob_name"
INPUT_DATASET = PARAM + "input_dataset_name"
PADDING = PARAM + "padding"
NORMALIZATION = PARAM + "normalization_type"
ELEMENT_SIZE = PARAM + "element_size_um"
DOWNSAMPLE = PARAM + "downsampleFactor"
PAD_INPUT = PARAM + "padInput"
PAD_OUTPUT = PARAM + "padOutput"
MEMORY_MAP = PARAM + "mapInputNumPxGPUMemMB"
DISK_RADIUS = PARAM + "diskRadiusPx"
CLASS_NAMES = PARAM + "classNames"
COMMAND_LINE = "/commandLine"
WEIGHTS = PARAM + "pixelwise_loss_weights/"
LOSS_WEIGHTS: Mapping[str, str] = {
    "border_weight_factor": WEIGHTS + "borderWeightFactor",
    "border_weight_sigma_px": WEIGHTS + "borderWeightSigmaPx",
    "foreground_background_ratio": WEIGHTS + "foregroundBackgroundRatio",
    "sigma1_px": WEIGHTS + "sigma1Px",
}
WANTED_BY_PLUGIN = (SOLVER, NAME, DESCRIPTION, NORMALIZATION)
Reader = Callable[[h5py.File, str], Any]


@dataclass(frozen=True)
class LossWeights:
    """Parameters of the pixelwise weights of the loss (modeldef_h5.md, section 4).

    Attributes
    ----------
    border_weight_factor : float
        How much a gap between touching objects counts.
    border_weight_sigma_px : float
        Over how many pixels a gap is wide.
    foreground_background_ratio : float
        Weight of background far from objects; foreground has 1.
    sigma1_px : float
        Over how many pixels the weight falls off around an object.
    """

    border_weight_factor: float = 50.0
    border_weight_sigma_px: float = 6.0
    foreground_background_ratio: float = 0.1
    sigma1_px: float = 10.0


@dataclass(frozen=True)
class ModelDefinition:
    """What a ``.modeldef.h5`` says (modeldef_h5.md, section 1).

    Vectors have one number an axis, in the order (z)yx.

    Attributes
    ----------
    ident : str
        Names the model; its weights may carry the same.
    model_prototxt : str
        Text of the net, for phases TRAIN and TEST, without an Input layer.
    input_blob_name : str
        Blob of the net that takes the image in phase TEST.
    element_size_um : tuple of float
        Micrometres a pixel of the images that the net expects. Its length is the
        net's dimension, 2 or 3.
    downsample_factor, pad_input, pad_output : tuple of int
        Tiles have ``downsample_factor * k + pad_input`` pixels at the input and
        ``downsample_factor * k + pad_output`` at the output, k a whole number.
    padding : str
        ``"mirror"`` or ``"zero"``: what lies around an image.
    solver_prototxt : str
        Text of the solver for finetuning.
    name, description : str
        Shown to users.
    input_dataset_name : str
        Dataset of HDF5 files that the net is fed from.
    normalization_type : int
        0 none, 1 smallest..largest to 0..1, 2 mean 0 and deviation 1, 3 longest
        vector of channels to 1.
    loss_weights : LossWeights
    disk_radius_px : int
        Of the disks that stand for annotated points.
    class_names : tuple of str
        The first is "Background"; empty where the file has none.
    memory_map : tuple of (int, int)
        Pixels of an input tile, and megabytes of GPU memory that it takes.
    command_line : tuple of str
        In the file that the plugin saves of a cancelled finetuning: what it calls to
        go on (caffe_unet_cli.md, section 6.4).
    missing : tuple of str
        Datasets that the Fiji plugin refuses to do without and the file lacks.
    """

    ident: str
    model_prototxt: str
    input_blob_name: str
    element_size_um: tuple[float, ...]
    downsample_factor: tuple[int, ...]
    pad_input: tuple[int, ...]
    pad_output: tuple[int, ...]
    padding: str = "mirror"
    solver_prototxt: str = ""
    name: str = ""
    description: str = ""
    input_dataset_name: str = "data"
    normalization_type: int = 1
    loss_weights: LossWeights = LossWeights()
    disk_radius_px: int = 2
    class_names: tuple[str, ...] = ()
    memory_map: tuple[tuple[int, int], ...] = ()
    command_line: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def dimensions(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.element_size_um)


def read_modeldef(path: str | Path) -> ModelDefinition:
    """Read a model definition; what only the Fiji plugin asks for may be missing.

    Such a dataset, when it cannot be read, counts as missing:
    `pyunet_fiji.modeldef.checks.check_modeldef` says why.

    Parameters
    ----------
    path : str or Path
        A ``.modeldef.h5`` file, from wherever.

    Returns
    -------
    ModelDefinition

    Raises
    ------
    DataError
        No such file, no HDF5 file, a damaged one; a dataset that ``caffe_unet`` needs
        is missing, or has another type or length than is accepted.

    Examples
    --------
    >>> import tempfile
    >>> definition = ModelDefinition(
    ...     ident="tiny", model_prototxt="name: 'tiny'", input_blob_name="data3",
    ...     element_size_um=(0.5, 0.5), downsample_factor=(4, 4),
    ...     pad_input=(12, 12), pad_output=(-28, -28))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_modeldef(Path(folder, "tiny.modeldef.h5"), definition)
    ...     read_modeldef(Path(folder, "tiny.modeldef.h5")) == definition
    True
    """
    with open_file(path) as file:
        element_size_um = read_element_size(file, ELEMENT_SIZE)
        axes = len(element_size_um)
        return ModelDefinition(
            ident=read_text(file, IDENT),
            model_prototxt=read_text(file, MODEL),
            input_blob_name=read_text(file, INPUT_BLOB),
            element_size_um=element_size_um,
            downsample_factor=read_factors(file, DOWNSAMPLE, axes),
            pad_input=read_vector(file, PAD_INPUT, axes),
            pad_output=read_vector(file, PAD_OUTPUT, axes),
            padding=read_text(file, PADDING),
            **_read_optional(file),
        )


def read_ident(path: str | Path) -> str | None:
    """Read the ident of a model or of its weights.

    Parameters
    ----------
    path : str or Path
        ``.modeldef.h5`` or ``.caffemodel.h5``.

    Returns
    -------
    str or None
        None where the file has none.

    Raises
    ------
    DataError
        No such file, no HDF5 file, a damaged one, or an ident that is no text.
    """
    with open_file(path) as file:
        return read_text(file, IDENT) if IDENT in file else None


def write_modeldef(path: str | Path, definition: ModelDefinition) -> None:
    """Write a model definition that ``caffe_unet`` and the Fiji plugin can read.

    Texts have a fixed length (that of their UTF-8 bytes; an empty one is a NUL),
    vectors are of rank 1. What `ModelDefinition.missing` names and has its default
    value is left out. The file is there whole or not at all.

    Parameters
    ----------
    path : str or Path
        Its folder must exist.
    definition : ModelDefinition

    Raises
    ------
    DataError
        Vectors of another length than the dimension, a text with NUL, a number beyond
        32 bits; a place that cannot be written.
    """
    write_datasets(path, datasets_of(definition))


def datasets_of(definition: ModelDefinition) -> dict[str, Any]:
    """Give the datasets of a definition by their paths, as Python values.

    >>> datasets = datasets_of(ModelDefinition("id", "", "data", (1.0, 1.0),
    ...     (16, 16), (60, 60), (-124, -124)))
    >>> datasets["/unet_param/padOutput"], datasets["/unet_param/diskRadiusPx"]
    ((-124, -124), 2)
    """
    values: dict[str, Any] = {
        IDENT: definition.ident,
        MODEL: definition.model_prototxt,
        SOLVER: definition.solver_prototxt,
        NAME: definition.name,
        DESCRIPTION: definition.description,
        INPUT_BLOB: definition.input_blob_name,
        INPUT_DATASET: definition.input_dataset_name,
        PADDING: definition.padding,
        NORMALIZATION: definition.normalization_type,
        ELEMENT_SIZE: tuple(map(float, definition.element_size_um)),
        DOWNSAMPLE: definition.downsample_factor,
        PAD_INPUT: definition.pad_input,
        PAD_OUTPUT: definition.pad_output,
        DISK_RADIUS: definition.disk_radius_px,
    }
    for field, name in LOSS_WEIGHTS.items():
        values[name] = float(getattr(definition.loss_weights, field))
    if definition.class_names:
        values[CLASS_NAMES] = definition.class_names
    if definition.command_line:
        values[COMMAND_LINE] = definition.command_line
    if definition.memory_map:
        values[MEMORY_MAP] = tuple(zip(*definition.memory_map, strict=True))
    _check_vectors(definition)
    empty = {SOLVER: "", NAME: "", DESCRIPTION: "", NORMALIZATION: 1}
    return {
        name: value
        for name, value in values.items()
        if name not in definition.missing or value != empty.get(name, value)
    }


def _check_vectors(definition: ModelDefinition) -> None:
    axes = definition.dimensions
    if axes not in DIMENSIONS:
        raise DataError(f"element_size_um has {axes} numbers; accepted are 2 or 3")
    for name in ("downsample_factor", "pad_input", "pad_output"):
        length = len(getattr(definition, name))
        if length != axes:
            raise DataError(f"{name} has {length} numbers; accepted are {axes}")


def _read_optional(file: h5py.File) -> dict[str, Any]:
    """Read what ``caffe_unet`` does without; only what can be read comes back."""
    readers: dict[str, tuple[str, Reader]] = {
        "solver_prototxt": (SOLVER, read_text),
        "name": (NAME, read_text),
        "description": (DESCRIPTION, read_text),
        "input_dataset_name": (INPUT_DATASET, read_text),
        "normalization_type": (NORMALIZATION, read_integer),
        "disk_radius_px": (DISK_RADIUS, read_integer),
        "class_names": (CLASS_NAMES, read_texts),
        "command_line": (COMMAND_LINE, read_texts),
        "memory_map": (MEMORY_MAP, read_memory_map),
    }
    found = _readable(file, readers)
    missing = [name for field, (name, _) in readers.items() if field not in found]
    weights = _readable(
        file, {field: (name, read_scalar) for field, name in LOSS_WEIGHTS.items()}
    )
    # one parameter that is missing makes all four fall back, as in the plugin
    if len(weights) == len(LOSS_WEIGHTS):
        found["loss_weights"] = LossWeights(**weights)
    found["missing"] = tuple(name for name in missing if name in WANTED_BY_PLUGIN)
    return found


def _readable(
    file: h5py.File, readers: Mapping[str, tuple[str, Reader]]
) -> dict[str, Any]:
    found = {}
    for field, (name, read) in readers.items():
        with contextlib.suppress(DataError):
            found[field] = read(file, name)
    return found
