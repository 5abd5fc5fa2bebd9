"""Files that ``pyunet evaluate`` compares: predictions, baselines, fields of view."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyunet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyunet_metrics.inputs import Prediction


@dataclass(frozen=True)
class Frame:
    """The slices of the truth that count, and what else has to fit them."""

    truth: Path
    shape: tuple[int, ...]  # of the whole truth: slices, Y, X
    slices: slice | None

    @property
    def start(self) -> int:
        """Number of the first slice."""
        return self.slices.start if self.slices else 0

    @property
    def stop(self) -> int:
        """Number after the last slice."""
        stop = self.slices.stop if self.slices else None
        return self.shape[0] if stop is None else stop

    def cut(self, array: NDArray[Any], path: Path) -> NDArray[Any]:
        """Return the slices that count of an array (Z, ..., Y, X) of a file."""
        total, size, kept = self.shape[0], self.shape[-2:], self.stop - self.start
        if not 0 <= self.start < self.stop <= total:
            raise DataError(
                f"--slices {self.start}:{self.stop}: {self.truth} has {total} slices; "
                f"expected FIRST < LAST within 0:{total}"
            )
        if array.shape[-2:] != size or len(array) not in (total, kept):
            expected = f"{kept} slices" if kept == total else f"{kept} or {total}"
            hint = "" if self.slices else "; --slices FIRST:LAST takes some of them"
            raise DataError(
                f"{path}: {_sizes(array.shape)}, but the truth {self.truth} has "
                f"{_sizes(self.shape)}: expected {expected} of that size{hint}"
            )
        return array if len(array) == kept else array[self.start : self.stop]


def _sizes(shape: tuple[int, ...]) -> str:
    slices = "1 slice" if shape[0] == 1 else f"{shape[0]} slices"
    return f"{slices} of {shape[-2]} x {shape[-1]} pixels"


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before an error about its values."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_prediction(path: Path, frame: Frame, *, instances: bool) -> Prediction:
    """Read a prediction, or with `instances` the object numbers of one."""
    from pyunet_metrics.inputs import instances_of, prediction_of

    array, values = _read_maps(path)
    chosen = frame.cut(array, path)
    with _naming(path):
        return instances_of(chosen) if instances else prediction_of(chosen, values)


def _read_maps(path: Path) -> tuple[NDArray[Any], str | None]:
    """Return slices (Z, C, Y, X), and what `pyunet segment` noted about the values."""
    import numpy as np

    from pyunet.data.images import read_stack

    files = _written_by_segment(path)
    if not files:
        return read_stack(path).array, None
    parts = [read_stack(file).array for file in files]
    notes = [_note(file) for file in files]
    for file, part, note in zip(files, parts, notes, strict=True):
        if part.shape[1:] != parts[0].shape[1:] or note != notes[0]:
            raise DataError(
                f"{file}: {part.shape[1]} channel(s) of {part.shape[2]} x "
                f"{part.shape[3]} {note or 'labels'} do not go with {files[0]}: "
                "expected files of one size and kind"
            )
    return np.concatenate(parts), notes[0]


def _written_by_segment(path: Path) -> list[Path]:
    """Return the files that `pyunet segment` left: scores, else labels, else none."""
    from pyunet.data.images import natural_order

    if path.is_file():
        return [path] if _note(path) else []
    for kind in ("scores", "labels"):
        files = sorted(path.glob(f"*_{kind}.tif"), key=natural_order)
        if files:
            return files
    return []


def _note(file: Path) -> str | None:
    from pyunet.data.images import TIFF
    from pyunet.tiffs import opened_tiff

    if file.suffix.lower() not in TIFF:
        return None
    with opened_tiff(file) as tiff:
        notes = [tiff.imagej_metadata, *(tiff.shaped_metadata or ())]
    values = [
        note["pyunet_values"] for note in notes if note and "pyunet_values" in note
    ]
    return str(values[0]) if values else None


def read_baselines(path: Path, frame: Frame) -> dict[str, Prediction]:
    """Cut images at a global and at a smoothed Otsu threshold."""
    from pyunet.data.images import read_stack
    from pyunet_metrics.baseline import SMOOTHING, otsu
    from pyunet_metrics.inputs import Prediction

    images = frame.cut(read_stack(path).array, path)
    if images.shape[1] != 1:
        raise DataError(f"{path}: has {images.shape[1]} channels; expected 1 (grey)")
    baselines = {}
    for name, sigma in (("otsu", 0.0), ("smoothed_otsu", SMOOTHING)):
        with _naming(path):
            inside, threshold = otsu(images[:, 0], sigma=sigma)
        sentence = f"grey values above {threshold:.4g} (the brighter side) are inside"
        if sigma:
            sentence += f", after a Gaussian of {sigma:g} px"
        baselines[name] = Prediction(inside, inside.astype(int), 2, sentence)
    return baselines


def read_field(path: Path, frame: Frame) -> NDArray[Any]:
    """Read a field of view, of one mask for all slices or one each."""
    import numpy as np

    from pyunet.data.images import read_stack

    masks = read_stack(path).array.max(axis=1) > 0
    if len(masks) == 1:
        masks = np.broadcast_to(masks, (frame.shape[0], *masks.shape[1:]))
    return frame.cut(masks, path)
