"""Find the images of a data set in its own folder layout and read them."""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyunet.boundary import reading
from pyunet.data.images import natural_order
from pyunet.data.labels import interpret_labels
from pyunet.data.preparation import eye_of
from pyunet.errors import DataError
from pyunet.inference.eyes import even_contrast, eye_extent
from pyunet.inference.resize import resize_to
from pyunet_reproduce.formats import fit, read_array
from pyunet_reproduce.recipes import Files, LabelFormat, Recipe

Number = TypeVar("Number", bound=np.generic)
EYE = "eye"
ORDER = "order"
MASK_ABOVE = 127


@dataclass(frozen=True)
class Case:
    """One image (or slice of a volume) of a data set, not yet read.

    Attributes
    ----------
    name : str
        Unique within its part, fit for a file name.
    images : tuple of Path
        The first one and those of its further channels.
    labels : tuple of Path
        Their largest value counts.
    mask : Path or None
    group : str
        Cases of one group stay together in a random split.
    slice : int, optional
        Of a volume that a 2-D net sees slice by slice.
    """

    name: str
    images: tuple[Path, ...]
    labels: tuple[Path, ...]
    mask: Path | None
    group: str
    slice: int | None = None


@dataclass(frozen=True)
class Example:
    """One image with its truth.

    Attributes
    ----------
    image : ndarray of float32, shape (C, [Z,] Y, X)
        Prepared, at the size the net sees.
    classes : ndarray of uint8, shape ([Z,] Y, X)
        At the original size; K, the number of classes, where nothing counts.
    instances : ndarray of int32, same shape
        Objects of instance labels as they were drawn; else all 0.
    counts : ndarray of bool, same shape
        Inside of the field of view and not to be ignored.
    """

    image: NDArray[np.float32]
    classes: NDArray[np.uint8]
    instances: NDArray[np.int32]
    counts: NDArray[np.bool_]


def find_cases(recipe: Recipe, part: str, data: Path) -> list[Case]:
    """List the images of a part, in natural order.

    Parameters
    ----------
    recipe : Recipe
    part : str
        One of its ``files``.
    data : Path
        The data set's folder.

    Returns
    -------
    list of Case

    Raises
    ------
    DataError
        Nothing found, an image without a label or the other way round; the text says
        where the data set is published and what folder is expected.
    """
    files = recipe.files[part]
    images = _listed(data, files, _matching(data, files.images))
    truth = _matching(data, files.labels)
    for patterns, some in ((files.images, images), (files.labels, truth)):
        if patterns and not some:
            raise DataError(
                f"{data}: has no {' or '.join(patterns)}. {where_to_get(recipe)}"
            )
    pair = functools.partial(_pair, data=data, images=images, key=files.key)
    labels = pair(truth, files.label_key, "label")
    mask_files = _matching(data, [pattern for pattern in files.masks if pattern != EYE])
    masks = pair(mask_files, files.mask_key, "mask") if mask_files else {}
    if files.masks and not mask_files and EYE not in files.masks:
        raise DataError(f"{data}: has no {' or '.join(files.masks)}")
    cases: list[Case] = []
    for path in images:
        if files.labels and path not in labels:
            continue
        case = Case(
            _name(path.relative_to(data)),
            (path, *_further(path, data, files)),
            tuple(labels.get(path, ())),
            masks[path][-1] if path in masks else None,
            _key(path, data, files.group) if files.group else str(path),
        )
        cases.extend(_slices(case, recipe, files))
    return _apart(cases)


def where_to_get(recipe: Recipe) -> str:
    """Say where a data set is published and what folder is expected, in one line.

    Examples
    --------
    >>> from pyunet_reproduce.recipes import read_recipe
    >>> where_to_get(read_recipe("drive")).startswith("DRIVE is published at https://")
    True
    """
    layout = "; ".join(
        line.strip() for line in recipe.layout.strip().splitlines() if line.strip()
    )
    return (
        f"{recipe.title} is published at {recipe.published_at}; the folder is expected "
        f"to hold: {layout}"
    )


def read_case(recipe: Recipe, part: str, case: Case) -> Example:
    """Read one image with its truth, and prepare it.

    Raises
    ------
    DataError
        A file that cannot be read, sizes that differ, label values that have no
        meaning.
    """
    files = recipe.files[part]
    image = _channels(case, files)
    size = image.shape[1:]
    stored: NDArray[Any] = np.zeros(size, np.uint8)
    if case.labels:
        parts = [_label(case, at, recipe.labels, files, size) for at in case.labels]
        stored = np.maximum.reduce(parts) if len(parts) > 1 else parts[0]
    classes, instances = _meaning(
        stored, recipe.labels, ", ".join(map(str, case.labels))
    )
    inside = _field_of_view(case, files, image)
    counts = inside & (classes < recipe.labels.classes)
    classes[~counts] = recipe.labels.classes
    prepared = _prepared(recipe, image, inside, case.name)
    return Example(prepared, classes, instances, counts)


def nearest(labels: NDArray[Number], size: Sequence[int]) -> NDArray[Number]:
    """Resize the last two axes of labels: each pixel takes the nearest one.

    >>> nearest(np.array([[1, 2]]), (1, 4)).tolist()
    [[1, 1, 2, 2]]
    """
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, labels.shape[-2:], strict=True)
    )
    return labels[..., rows[:, None], columns]


def _matching(data: Path, patterns: Sequence[str]) -> list[Path]:
    for pattern in patterns:
        with reading(data, f"cannot be searched for {pattern!r}"):
            matches = [
                path
                for path in data.glob(pattern)
                if path.is_file() and not path.name.startswith(".")
            ]
        if matches:
            return sorted(
                matches, key=lambda path: natural_order(path.relative_to(data))
            )
    return []


def _listed(data: Path, files: Files, images: list[Path]) -> list[Path]:
    if not files.listed_in:
        return images
    path = data / files.listed_in
    with reading(path):
        lines = path.read_text(encoding="utf-8").split("\n")
    names = {Path(line.split()[0]).name.split(".")[0] for line in lines if line.strip()}
    return [image for image in images if image.name.split(".")[0] in names]


def _name(path: Path) -> str:
    return re.sub(r"[^\w.-]+", "_", str(path.with_suffix("")))


def _apart(cases: list[Case]) -> list[Case]:
    """Give cases whose names became the same numbers of their own."""
    met: Counter[str] = Counter()
    result = []
    for case in cases:
        met[case.name] += 1
        number = f"~{met[case.name]}" if met[case.name] > 1 else ""
        result.append(replace(case, name=case.name + number))
    return result


def _key(path: Path, data: Path, pattern: str) -> str:
    inside = path.relative_to(data).as_posix()
    if not pattern:
        return path.name.split(".")[0]
    with reading(path, f"cannot be paired by {pattern!r}"):
        match = re.search(pattern, inside)
    if match is None:
        raise DataError(f"{path}: the name has no {pattern}, by which files are paired")
    return "/".join(part or "" for part in match.groups())


def _pair(
    files: list[Path], other_key: str, what: str, *,
    data: Path, images: list[Path], key: str,
) -> dict[Path, list[Path]]:  # fmt: skip
    """Give the labels (or masks) of each image."""
    if not files:
        return {}
    if other_key == ORDER:
        if len(files) != len(images):
            raise DataError(
                f"{data}: {len(images)} images and {len(files)} {what}s, which are "
                "paired in their order; expected as many of both"
            )
        return {image: [other] for image, other in zip(images, files, strict=True)}
    by_key: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        by_key[_key(path, data, other_key or key)].append(path)
    pairs = {path: _key(path, data, key) for path in images}
    lacking = [path for path, name in pairs.items() if name not in by_key]
    if lacking and (what == "mask" or len(lacking) == len(images)):
        raise DataError(
            f"{lacking[0]}: has no {what}; the {len(files)} {what}s are for "
            f"{', '.join(list(by_key)[:3])} ..."
        )
    return {path: by_key[name] for path, name in pairs.items() if name in by_key}


def _further(path: Path, data: Path, files: Files) -> list[Path]:
    inside = path.relative_to(data).as_posix()
    return [data / inside.replace(old, new) for old, new in files.channels_from]


def _slices(case: Case, recipe: Recipe, files: Files) -> list[Case]:
    """Take volumes apart for a 2-D net."""
    if len(recipe.net.input) == 3:
        return [case]
    image = _read(case.images[0], files.image_name)
    if image.ndim == 3:
        return [case]
    return [
        replace(case, name=f"{case.name}_{z:04d}", slice=z)
        for z in range(image.shape[1])
    ]


def _channels(case: Case, files: Files) -> NDArray[Any]:
    arrays = [_read(path, files.image_name) for path in case.images]
    if case.slice is not None:
        arrays = [array[:, case.slice] for array in arrays]
    if len({array.shape[1:] for array in arrays}) > 1:
        shapes = " and ".join(str(array.shape[1:]) for array in arrays)
        raise DataError(f"{case.images[0]}: further channels of other sizes: {shapes}")
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _label(
    case: Case,
    path: Path,
    label_format: LabelFormat,
    files: Files,
    size: tuple[int, ...],
) -> NDArray[Any]:
    indices = label_format.kind in ("classes", "instances")
    stored = _read(path, files.label_name, indices=indices)
    if case.slice is not None:
        stored = stored[:, case.slice]
    if path.suffix == ".xml":
        stored = fit(stored, size)
    if stored.shape[1:] != size:
        raise DataError(
            f"{path}: labels of {stored.shape[1:]} pixels, the image has {size}"
        )
    return np.asarray(stored if label_format.kind == "colours" else stored[0])


def _field_of_view(case: Case, files: Files, image: NDArray[Any]) -> NDArray[np.bool_]:
    if case.mask is not None:
        mask = _read(case.mask, "", indices=False)[0]
        if case.slice is not None and mask.ndim == 3:
            mask = mask[case.slice]
        if mask.shape != image.shape[1:]:
            raise DataError(
                f"{case.mask}: a mask of {mask.shape} pixels, the image has "
                f"{image.shape[1:]}"
            )
        return np.asarray(mask > min(MASK_ABOVE, mask.max() / 2))
    if EYE in files.masks:
        return eye_of(image)
    return np.ones(image.shape[1:], bool)


def _prepared(
    recipe: Recipe, image: NDArray[Any], inside: NDArray[np.bool_], name: str
) -> NDArray[np.float32]:
    how = recipe.preparation
    if how.eye_width:
        extent = eye_extent([inside], how.eye_width, name=name)
        values = replace(how, local_contrast=0.0, eye_width=0.0).apply(image)
        return even_contrast(values, extent, how.local_contrast, eye=inside)
    try:
        prepared = how.apply(image, inside)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    return resize_to(prepared, recipe.size) if recipe.size else prepared


def _meaning(
    stored: NDArray[Any], label_format: LabelFormat, name: str
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Give classes and instances of stored labels."""
    none = np.zeros(
        stored.shape[-2:] if label_format.kind == "colours" else stored.shape, np.int32
    )
    if label_format.kind == "instances":
        objects = interpret_labels(stored[None], kind="instances", name=name)
        return objects.classes[0], stored.astype(np.int32)
    if label_format.kind == "binary":
        classes = (stored > label_format.above) ^ label_format.inverted
        result = classes.astype(np.uint8)
        result[np.isin(stored, label_format.ignore)] = label_format.classes
        return result, none
    if label_format.kind == "colours":
        stored = _nearest_colour(stored, np.array(label_format.colours))
    return _classes(stored, label_format, name), none


def _nearest_colour(picture: NDArray[Any], colours: NDArray[Any]) -> NDArray[Any]:
    colour = picture[:3].astype(np.int64)
    if len(colour) == 1:
        colour = np.repeat(colour, 3, axis=0)
    away = [
        np.square(colour - reference[:, None, None]).sum(axis=0)
        for reference in colours
    ]
    return np.asarray(np.argmin(away, axis=0))


def _classes(
    stored: NDArray[Any], label_format: LabelFormat, name: str
) -> NDArray[np.uint8]:
    stored = np.rint(stored).astype(np.int64)
    values = label_format.values or [[number] for number in range(label_format.classes)]
    result = np.full(stored.shape, 255, np.uint8)
    for number, group in enumerate(values):
        result[np.isin(stored, group)] = number
    result[np.isin(stored, label_format.ignore)] = label_format.classes
    if (result == 255).any():
        odd = np.unique(stored[result == 255])
        raise DataError(
            f"{name}: label values {', '.join(map(str, odd[:5]))}; expected "
            f"{', '.join(str(value) for group in values for value in group)}"
            + (
                f", ignored {', '.join(map(str, label_format.ignore))}"
                if label_format.ignore
                else ""
            )
        )
    return result


@functools.lru_cache(maxsize=4)
def _read(path: Path, name: str, *, indices: bool = False) -> NDArray[Any]:
    """Read a file, keeping the last ones: slices of a volume are asked for in turn."""
    return read_array(path, name=name, indices=indices)
