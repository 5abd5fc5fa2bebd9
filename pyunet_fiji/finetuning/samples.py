"""The HDF5 files that a finetuning run reads, as the plugin writes them.

Source: caffe_unet_cli.md, section 8; modeldef_h5.md, section 6. A training file holds
a whole image, a validation file one tile of it. The plugin's writer of 3-D validation
tiles mixes up its indices, and so gives most pixels of tiles away from the corner the
weight 0 where tiles are no cubes. That is not imitated: each pixel of the image has its
weight in one tile.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyunet.errors import DataError
from pyunet.files import atomic_path, new_hdf5
from pyunet.inference.calibration import find_element_size
from pyunet.inference.tiling import mirror_index
from pyunet_fiji.finetuning.annotations import Marks
from pyunet_fiji.finetuning.images import Hyperstack, to_model_input
from pyunet_fiji.finetuning.weights import loss_maps
from pyunet_fiji.modeldef import ModelDefinition
from pyunet_fiji.modeldef.shapes import output_from_input

Image = NDArray[np.float32]
LABELS, WEIGHTS, SAMPLING = "labels", "weights", "weights2"
PARAMETERS = "conversionParameters"


class Sample(NamedTuple):
    """One image as training takes it, all float32 at the net's pixel size.

    Attributes
    ----------
    data : ndarray, shape (N, C, [Z,] Y, X)
        Normalised grey values.
    labels, weights, sampling : ndarray, shape (N, 1, [Z,] Y, X)
        As in `LossMaps`.
    """

    data: Image
    labels: Image
    weights: Image
    sampling: Image


class ValidationTile(NamedTuple):
    """One tile of all frames of an image.

    Attributes
    ----------
    data : ndarray, shape (N, C, input [Z,] Y, X)
        Mirrored beyond the image.
    labels, weights : ndarray, shape (N, 1, output [Z,] Y, X)
        Of its middle; beyond the image labels are mirrored and weights 0.
    """

    data: Image
    labels: Image
    weights: Image


def make_sample(
    image: Hyperstack,
    marks: Marks,
    definition: ModelDefinition,
    class_names: Sequence[str],
    *,
    element_size_um: Sequence[float] | None = None,
) -> Sample:
    """Convert an image and its annotation for finetuning.

    Parameters
    ----------
    image : Hyperstack
    marks : Marks
        Its annotation.
    definition : ModelDefinition
        Of the net.
    class_names : sequence of str
        "Background" first, of all images together (`joint_class_names`).
    element_size_um : sequence of float, optional
        As `find_element_size` takes it, in place of what the image's file says.

    Returns
    -------
    Sample

    Raises
    ------
    DataError
        What the parts refuse; an annotation that ignores every pixel.
    """
    wanted = definition.element_size_um
    own = find_element_size(
        image.resolution, wanted, given=element_size_um, name=str(image.path)
    )
    data = to_model_input(image, definition, own)
    times, _, *sizes = image.array.shape
    annotation = marks.drawn(
        (times, *sizes),
        definition.dimensions,
        class_names,
        stack_channels=image.stack_channels,
        disk_radius_px=definition.disk_radius_px,
    ).rescaled(own, wanted)
    maps = loss_maps(annotation, definition.loss_weights)
    if not maps.sampling.any():
        raise DataError(f"{image.path}: every pixel is to be ignored")
    return Sample(data, *(each[:, None] for each in maps))


def write_training_file(
    path: str | Path,
    sample: Sample,
    definition: ModelDefinition,
    class_names: Sequence[str],
) -> None:
    """Write an image for training.

    Datasets are the net's ``input_dataset_name``, ``labels``, ``weights`` and
    ``weights2``; the group ``conversionParameters`` says how they were made.

    Parameters
    ----------
    path : str or Path
        Its folder must exist.
    sample : Sample
    definition : ModelDefinition
    class_names : sequence of str

    Raises
    ------
    DataError
        It cannot be written; nothing is left then.
    """
    datasets = {
        definition.input_dataset_name: sample.data,
        LABELS: sample.labels,
        WEIGHTS: sample.weights,
        SAMPLING: sample.sampling,
    }
    weights = definition.loss_weights
    parameters = {
        "foregroundBackgroundRatio": np.array([weights.foreground_background_ratio]),
        "sigma1_um": np.array([weights.sigma1_px]),
        "borderWeightFactor": np.array([weights.border_weight_factor]),
        "borderWeightSigmaPx": np.array([weights.border_weight_sigma_px]),
        "normalizationType": np.array([definition.normalization_type], np.int32),
        "classNames": np.array([name.encode() for name in class_names]),
    }
    _write(Path(path), datasets, definition, parameters)


def write_validation_files(
    stem: str | Path,
    sample: Sample,
    definition: ModelDefinition,
    tile_shape: Sequence[int],
) -> list[Path]:
    """Write the tiles of an image for validation: ``<stem>_0.h5``, ``<stem>_1.h5``, ...

    Datasets are the net's ``input_blob_name``, ``labels`` and ``weights``.

    Parameters
    ----------
    stem : str or Path
        Its folder must exist.
    sample : Sample
    definition : ModelDefinition
    tile_shape : sequence of int
        Of the INPUT tile, (z)yx.

    Returns
    -------
    list of Path

    Raises
    ------
    DataError
        As `validation_tiles`; a file that cannot be written.
    """
    files = []
    tiles = validation_tiles(sample, definition, tile_shape)
    for number, tile in enumerate(tiles):
        files.append(Path(f"{stem}_{number}.h5"))
        datasets = {
            definition.input_blob_name: tile.data,
            LABELS: tile.labels,
            WEIGHTS: tile.weights,
        }
        _write(files[-1], datasets, definition)
    return files


def validation_tiles(
    sample: Sample, definition: ModelDefinition, tile_shape: Sequence[int]
) -> Iterator[ValidationTile]:
    """Cut an image into tiles whose outputs cover it, from its corner on.

    Parameters
    ----------
    sample, definition, tile_shape
        As in `write_validation_files`.

    Yields
    ------
    ValidationTile
        The last axis fastest.

    Raises
    ------
    DataError
        A tile of other axes than the net, or one that has no output.

    Examples
    --------
    >>> definition = ModelDefinition("", "", "data3", (1.0, 1.0), (4, 4), (12, 12),
    ...                              (-28, -28))
    >>> image = np.zeros((1, 1, 30, 50), np.float32)
    >>> sample = Sample(image, image, image, image)
    >>> [tile.labels.shape for tile in validation_tiles(sample, definition, (72, 72))]
    [(1, 1, 32, 32), (1, 1, 32, 32)]
    """
    axes = definition.dimensions
    output = (
        output_from_input(definition, tile_shape) if len(tile_shape) == axes else ()
    )
    if not output or min(output) < 1:
        raise DataError(
            f"input tile {'x'.join(map(str, tile_shape))}: accepted are {axes} "
            "numbers, (z)yx, large enough for an output of one pixel"
        )
    size = sample.data.shape[2:]
    borders = [(i - o) // 2 for i, o in zip(tile_shape, output, strict=True)]
    counts = [range(-(-extent // o)) for extent, o in zip(size, output, strict=True)]
    for corner in itertools.product(*counts):
        starts = [index * o for index, o in zip(corner, output, strict=True)]
        around = [start - edge for start, edge in zip(starts, borders, strict=True)]
        weights = np.zeros((len(sample.data), 1, *output), np.float32)
        there = (slice(s, s + o) for s, o in zip(starts, output, strict=True))
        inside = (slice(None), slice(None), *there)
        part = sample.weights[inside]
        weights[tuple(map(slice, part.shape))] = part
        yield ValidationTile(
            sample.data[_window(around, tile_shape, size)],
            sample.labels[_window(starts, output, size)],
            weights,
        )


def _window(
    starts: Sequence[int], counts: Sequence[int], size: Sequence[int]
) -> tuple[Any, ...]:
    """Give the index of a part of an image, mirrored where it lies beyond."""
    places = [
        mirror_index(start, count, length)
        for start, count, length in zip(starts, counts, size, strict=True)
    ]
    return (slice(None), slice(None), *np.ix_(*places))


def _write(
    path: Path,
    datasets: Mapping[str, Image],
    definition: ModelDefinition,
    parameters: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        for name, array in datasets.items():
            dataset = file.create_dataset(
                name,
                data=array,
                dtype=np.float32,
                chunks=(*(1 for _ in array.shape[:-2]), *array.shape[-2:]),
                compression="gzip",
                compression_opts=3,
            )
            dataset.attrs["element_size_um"] = np.array(definition.element_size_um)
        if parameters is not None:
            file.create_group(PARAMETERS).attrs.update(parameters)
