"""Read annotated images and write the HDF5 files of a run, as the plugin does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from pyunet.data.images import image_files
from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet.inference.calibration import states_size
from pyunet_fiji.finetuning.annotations import FIRST_CLASS, Kind, Marks, Zero
from pyunet_fiji.finetuning.images import read_hyperstack
from pyunet_fiji.finetuning.marks import BACKGROUND_NAME, joint_class_names, read_marks
from pyunet_fiji.finetuning.roi_files import read_overlay
from pyunet_fiji.finetuning.samples import (
    Sample,
    make_sample,
    write_training_file,
    write_validation_files,
)
from pyunet_fiji.modeldef import ModelDefinition

LOG = logging.getLogger(__name__)
TRAIN_LIST, VALID_LIST = "trainfilelist.txt", "validfilelist.txt"
MASK_8_BIT = [0, 255]


@dataclass(frozen=True)
class Pair:
    """An image and where its annotation is: in a file, or (None) in its overlay."""

    image: Path
    labels: Path | None

    @property
    def annotation(self) -> Path:
        """The file of the annotation."""
        return self.labels or self.image


@dataclass(frozen=True)
class Meaning:
    """What label images and pixels mean.

    Attributes
    ----------
    kind : {"classes", "instances"}
    zero : {"auto", "background", "ignore"}
        ``ignore``: the plugin's numbers, 1 is background. ``auto``: found out.
    class_names : tuple of str
        Without background; empty: found.
    element_size_um : tuple of float or None
        None: what the files say, else the model's.
    """

    kind: Kind = "classes"
    zero: Literal["auto"] | Zero = "auto"
    class_names: tuple[str, ...] = ()
    element_size_um: tuple[float, ...] | None = None


def find_pairs(
    images: Sequence[str | Path], labels: Sequence[str | Path]
) -> list[Pair]:
    """Pair the images of some paths with their annotations, in natural order.

    Parameters
    ----------
    images : sequence of path
        Files, folders or patterns.
    labels : sequence of path
        As many files; none: the overlays of the images.

    Returns
    -------
    list of Pair

    Raises
    ------
    DataError
        No images, or another number of labels.
    """
    found = [file for path in images for file in image_files(Path(path))]
    if not labels:
        return [Pair(file, None) for file in found]
    marked = [file for path in labels for file in _annotation_files(Path(path))]
    if len(marked) != len(found):
        raise DataError(
            f"{len(found)} images, but {len(marked)} labels: accepted is one file of "
            "labels for each image, in the same order"
        )
    return [Pair(*both) for both in zip(found, marked, strict=True)]


def split(pairs: Sequence[Pair], share: float) -> tuple[list[Pair], list[Pair]]:
    """Take a share of images, evenly spread, for validation.

    Parameters
    ----------
    pairs : sequence of Pair
    share : float
        Above 0 and below 1; at least one image stays on each side.

    Returns
    -------
    training, validation : list of Pair

    Raises
    ------
    DataError
        A share that is none; a single image.

    Examples
    --------
    >>> pairs = [Pair(Path(name), None) for name in "abcd"]
    >>> [pair.image.name for pair in split(pairs, 0.25)[1]]
    ['c']
    """
    if not 0 < share < 1:
        raise DataError(f"share {share:g} for validation: accepted is 0 < share < 1")
    if len(pairs) < 2:
        raise DataError(
            f"{len(pairs)} image for training and validation: accepted are two and more"
        )
    count = min(max(round(share * len(pairs)), 1), len(pairs) - 1)
    taken = {int((number + 0.5) * len(pairs) / count) for number in range(count)}
    return (
        [pair for number, pair in enumerate(pairs) if number not in taken],
        [pair for number, pair in enumerate(pairs) if number in taken],
    )


@dataclass(frozen=True)
class Annotated:
    """Pairs whose annotations have been read.

    Attributes
    ----------
    training, validation : list of (Pair, Marks)
    class_names : tuple of str
        "Background" first.
    zero : {"background", "ignore"}
        What 0 means in files of labels; in overlays it is the plugin's "ignore".
    """

    training: list[tuple[Pair, Marks]]
    validation: list[tuple[Pair, Marks]]
    class_names: tuple[str, ...]
    zero: Zero


def read_annotations(
    training: Sequence[Pair],
    validation: Sequence[Pair],
    meaning: Meaning,
    *,
    model_classes: Sequence[str],
    model_count: int,
) -> Annotated:
    """Read all annotations and name the classes that they have together.

    Parameters
    ----------
    training, validation : sequence of Pair
    meaning : Meaning
    model_classes : sequence of str
        The model's names, "Background" first; may be empty.
    model_count : int
        Classes that the model tells apart, with background.

    Returns
    -------
    Annotated

    Raises
    ------
    DataError
        An image without annotation; more classes in files of labels than the model
        has, and nobody named them; what `read_marks` refuses.
    """
    pairs = [*training, *validation]
    for pair in pairs:
        if pair.labels is None and read_overlay(pair.image) is None:
            raise DataError(
                f"{pair.image}: has no overlay with ROIs; its annotation is wanted: "
                "--labels, or ROIs saved with the image"
            )
    zero = find_zero(pairs) if meaning.zero == "auto" else meaning.zero
    marks = [
        read_marks(
            pair.annotation, kind=meaning.kind, zero=zero if pair.labels else "ignore"
        )
        for pair in pairs
    ]
    both = list(zip(pairs, marks, strict=True))
    if meaning.class_names:
        names: tuple[str, ...] = (BACKGROUND_NAME, *meaning.class_names)
    else:
        names = joint_class_names(marks, known=model_classes)
        if any(pair.labels and not one.class_names for pair, one in both):
            _check_count(names, model_count)
    return Annotated(both[: len(training)], both[len(training) :], names, zero)


def find_zero(pairs: Sequence[Pair]) -> Zero:
    """Find out what 0 means in label images: background, or ignore as in the plugin.

    Ignore if there is no 0, or less of it than of 1, which is background then; masks of
    two values have background 0.

    Parameters
    ----------
    pairs : sequence of Pair
        Only files of labels count.

    Returns
    -------
    {"background", "ignore"}
    """
    values: set[int] = set()
    zeros = ones = 0
    for pair in pairs:
        if pair.labels is None or read_overlay(pair.labels) is not None:
            continue
        labels = read_hyperstack(pair.labels, labels=True).array
        values.update(np.unique(labels).tolist())
        zeros += int((labels == 0).sum())
        ones += int((labels == 1).sum())
    masks = max(values, default=0) < FIRST_CLASS or sorted(values) == MASK_8_BIT
    zero: Zero = "background" if masks or zeros >= ones else "ignore"
    if values:
        LOG.info(
            "labels: 0 is taken as %s, objects start at %d; --zero-is says it",
            zero, FIRST_CLASS if zero == "ignore" else 1,
        )  # fmt: skip
    return zero


def write_files(
    folder: Path,
    annotated: Annotated,
    definition: ModelDefinition,
    *,
    tile: Sequence[int],
    element_size_um: Sequence[float] | None,
    channels: int | None,
) -> int:
    """Convert all images and write the files and lists of a run.

    The list of the training files comes last: where it is, all is there.

    Parameters
    ----------
    folder : Path
        Must exist. Lists name the files in it by their names alone.
    annotated : Annotated
    definition : ModelDefinition
    tile : sequence of int
        Input tile of the validation, (z)yx.
    element_size_um : sequence of float, optional
    channels : int, optional
        That images must have; default: those of the first.

    Returns
    -------
    int
        Number of validation tiles, each frame by itself; also kept in the folder.

    Raises
    ------
    DataError
        An image that cannot be used; files that cannot be written.
    """
    validation, training, tiles = [], [], 0
    steps = tqdm(
        _samples(annotated, definition, element_size_um, channels),
        desc="convert",
        unit="image",
        total=len(annotated.training) + len(annotated.validation),
        disable=None,
    )
    for number, sample in enumerate(steps):
        if number < len(annotated.training):
            path = folder / f"train_{number}.h5"
            write_training_file(path, sample, definition, annotated.class_names)
            training.append(path)
        else:
            stem = folder / f"valid_{number - len(annotated.training)}"
            files = write_validation_files(stem, sample, definition, tile)
            validation += files
            tiles += len(files) * len(sample.data)
    if validation:
        _write_list(folder / VALID_LIST, validation)
    _write_list(folder / TRAIN_LIST, training)
    return tiles


def _samples(
    annotated: Annotated,
    definition: ModelDefinition,
    element_size_um: Sequence[float] | None,
    channels: int | None,
) -> Iterator[Sample]:
    silent = 0
    for pair, marks in (*annotated.training, *annotated.validation):
        image = read_hyperstack(pair.image)
        size = element_size_um
        if size is None and not states_size(image.resolution):
            size, silent = definition.element_size_um, silent + 1
        found = image.array.shape[1]
        if found != (channels or found):
            raise DataError(
                f"{pair.image}: has {found} channel(s); accepted are {channels}, as "
                "the weights and the other images"
            )
        channels = found
        yield make_sample(
            image,
            marks,
            definition,
            annotated.class_names,
            element_size_um=size,
        )
    if silent:
        LOG.warning(
            "%d image(s) do not say how large their pixels are: taken as the model's "
            "%s um; --element-size-um says it",
            silent, " x ".join(f"{one:g}" for one in definition.element_size_um),
        )  # fmt: skip


def _annotation_files(path: Path) -> list[Path]:
    """List annotations: images, and files of ROIs, which are no images."""
    if path.is_dir():
        rois = sorted([*path.glob("*.roi"), *path.glob("*.zip")])
        return rois or image_files(path)
    return image_files(path)


def _check_count(names: Sequence[str], count: int) -> None:
    if len(names) > count:
        raise DataError(
            f"labels of {len(names) - 1} classes, the model tells {count - 1} from "
            "background: say --labels-are instances if they number objects, or name "
            "all classes by --classes"
        )


def _write_list(path: Path, files: Sequence[Path]) -> None:
    with atomic_path(path) as draft:
        draft.write_text("".join(f"{file.name}\n" for file in files), encoding="utf-8")
