"""Check training sets in HDF5 files, as Caffe's HDF5Data layer would read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pyunet.boundary import reading
from pyunet.data.hdf5 import check_row
from pyunet.errors import DataError
from pyunet_checks.findings import Finding, listed
from pyunet_checks.folders import NOTHING_KNOWN, PLACES, Expected
from pyunet_checks.greys import check_greys
from pyunet_checks.labels import check_labels
from pyunet_checks.leakage import check_leakage
from pyunet_checks.pairs import check_contrast, check_pairs
from pyunet_checks.sources import Picture, Source
from pyunet_checks.weights import check_weights

MOST = 64
FEW_CHANNELS = 4
# what is a mistake of a whole image may well be right for a part of it
NOT_OF_TILES = {
    "label-empty",
    "objects-merged",
    "id-reused",
    "polarity",
    "mixed-polarity",
    "inverted-image",
    "exposure",
    "flat-image",
}


@dataclass
class Rows:
    """Some samples of a training set.

    Attributes
    ----------
    data, label, weights : Source
        Of volumes the middle slices; data cut to the size of the labels.
    """

    data: Source
    label: Source
    weights: Source


def check_training_set(
    path: Path, *, test: Path | None = None, expected: Expected = NOTHING_KNOWN
) -> list[Finding]:
    """Read an HDF5 file, or a list of them, and say what is wrong.

    Up to 64 samples, evenly from all files, are looked at pixel by pixel.

    Parameters
    ----------
    path : Path
        ``.h5`` file, or the list file that HDF5Data reads.
    test : Path, optional
        The test set, looked at in the same way, and compared.
    expected : Expected
        What is known.

    Returns
    -------
    list of Finding
        Empty if nothing is wrong.
    """
    train, findings = _check_set(path, expected)
    if test is not None:
        other, test_findings = _check_set(test, expected)
        findings += test_findings
        if train and other and train.data.pictures and other.data.pictures:
            findings += check_leakage(train.data, other.data)
    return list(dict.fromkeys(findings))


def _check_set(path: Path, expected: Expected) -> tuple[Rows | None, list[Finding]]:
    files, findings = _listed_files(path)
    shapes: dict[Path, tuple[int, ...]] = {}
    for file in files:
        of_file = _check_file(file, shapes)
        findings += of_file
    if findings or not shapes:
        return None, findings
    usual = next(iter(shapes.values()))
    findings = [
        Finding("file-shapes", str(file), f"data of {shape}, the first file {usual}")
        for file, shape in shapes.items()
        if shape != usual
    ]
    rows = _read_rows(path, list(shapes))
    return rows, findings + _scales(rows) + _check_rows(rows, expected)


def _listed_files(path: Path) -> tuple[list[Path], list[Finding]]:
    if not path.is_file():
        return [], [Finding("missing", str(path), "no such file")]
    if h5py.is_hdf5(path):
        return [path], []
    try:
        names = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return [], [Finding("no-hdf5", str(path), "neither HDF5 nor a list of files")]
    if path.suffix in (".h5", ".hdf5"):
        return [], [Finding("no-hdf5", str(path), "is not an HDF5 file")]
    if not names:
        return [], [Finding("list-empty", str(path), "names no file")]
    findings = []
    for name in names:
        if not Path(name).is_file():
            beside = path.parent / Path(name).name
            what = f"names {name}, which is not there"
            if beside.is_file():
                what += f" (but {beside} is)"
            findings.append(Finding("list-path", str(path), what))
    return [Path(name) for name in names if Path(name).is_file()], findings


def _check_file(path: Path, shapes: dict[Path, tuple[int, ...]]) -> list[Finding]:
    if not h5py.is_hdf5(path):
        return [Finding("no-hdf5", str(path), "is not an HDF5 file")]
    try:
        with reading(path), h5py.File(path, "r") as file:
            return _check_datasets(path, file, shapes)
    except DataError as error:
        what = str(error).removeprefix(f"{path}: ")
        return [Finding("no-hdf5", str(path), what)]


def _check_datasets(
    path: Path, file: h5py.File, shapes: dict[Path, tuple[int, ...]]
) -> list[Finding]:
    missing = [name for name in ("data", "label") if name not in file]
    if missing:
        what = f"no dataset {listed(missing)}, only {listed(sorted(file)) or 'nothing'}"
        return [Finding("no-dataset", str(path), what)]
    sets = {name: file[name] for name in ("data", "label", "weights") if name in file}
    for name, values in sets.items():
        if not isinstance(values, h5py.Dataset) or values.shape is None:
            return [Finding("no-dataset", str(path), f"{name} is not an array")]
        check_row(path, values)
    findings = [
        Finding("dtype", str(path), f"{name} has values of type {values.dtype}")
        for name, values in sets.items()
        if values.dtype.kind not in "uif"
    ]
    counts = {name: len(values) for name, values in sets.items() if values.ndim}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        texts = [f"{name} {count}" for name, count in counts.items()]
        findings.append(Finding("rows", str(path), f"rows: {', '.join(texts)}"))
    findings += _check_shapes(path, {name: v.shape for name, v in sets.items()})
    if not findings:
        shapes[path] = sets["data"].shape[1:]
    return findings


def _check_shapes(path: Path, shapes: dict[str, tuple[int, ...]]) -> list[Finding]:
    data, label = shapes["data"], shapes["label"]
    if len(data) not in (4, 5):
        what = f"data has the shape {data}, {len(data)} axes"
        return [Finding("rank", str(path), what)]
    if data[-1] <= FEW_CHANNELS < data[1] // 4:
        what = f"data has the shape {data}: channels seem to be last"
        return [Finding("axes", str(path), what)]
    inner = label[2:] if len(label) == len(data) else label[1:]
    flat = len(label) == len(data) - 1 or label[1:2] == (1,)
    pairs = list(zip(data[2:], inner, strict=False))
    if (
        not flat
        or len(inner) != len(data) - 2
        or any(o > i or (i - o) % 2 for i, o in pairs)
    ):
        what = f"label has the shape {label}, data {data}"
        return [Finding("tile-shapes", str(path), what)]
    weights = shapes.get("weights", label)
    if int(np.prod(weights)) != int(np.prod(label)) or weights[-2:] != label[-2:]:
        what = f"weights have the shape {weights}, label {label}"
        return [Finding("tile-shapes", str(path), what)]
    return []


def _read_rows(path: Path, files: list[Path]) -> Rows:
    rows = Rows(Source(path, "data"), Source(path, "labels"), Source(path, "weights"))
    for file in files:
        with reading(file), h5py.File(file, "r") as opened:
            count = len(opened["data"])
            rows_per_file = min(count, max(1, MOST // len(files)))
            for row in sorted(
                {int(i) for i in np.linspace(0, count - 1, rows_per_file)}
            ):
                _add_row(rows, opened, file, row)
    return rows


def _add_row(rows: Rows, opened: h5py.File, file: Path, row: int) -> None:
    label = _plane(opened["label"][row], opened["data"].ndim - 2)
    data = opened["data"][row]
    for target, values in (
        (rows.data, _middle(data, label.shape)),
        (rows.label, label),
    ):
        name = f"{file} row {row}"
        target.pictures.append(Picture(name, _slice(values), file))
    if "weights" in opened:
        weights = _plane(opened["weights"][row], opened["data"].ndim - 2)
        rows.weights.pictures.append(
            Picture(f"{file} row {row}", _slice(weights).astype(np.float32), file)
        )


def _plane(values: NDArray[Any], axes: int) -> NDArray[Any]:
    """Give ([1,] [Z,] Y, X) as (1, [Z,] Y, X)."""
    return values.reshape(1, *values.shape[-axes:])


def _middle(data: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Cut (C, ...) to the middle that has labels of shape (1, ...)."""
    pairs = zip(data.shape[1:], shape[1:], strict=True)
    cut = [slice((i - o) // 2, (i + o) // 2) for i, o in pairs]
    window = (slice(None), *cut)
    return data[window]


def _slice(values: NDArray[Any]) -> NDArray[Any]:
    """Take the middle slice of a volume."""
    return values[:, values.shape[1] // 2] if values.ndim == 4 else values


def _scales(rows: Rows) -> list[Finding]:
    tops: dict[Path, float] = {}
    for picture in rows.data.pictures:
        if picture.array.dtype.kind == "f":
            top = float(np.nanmax(picture.array))
            tops[picture.file] = max(top, tops.get(picture.file, top))
    bright = [file for file, top in tops.items() if top > 1.5]
    if not bright or len(bright) == len(tops):
        return []
    what = f"data goes up to {tops[bright[0]]:g}, in other files to "
    what += f"{min(tops.values()):g}"
    return [Finding("scale", str(file), what) for file in bright]


def _check_rows(rows: Rows, expected: Expected) -> list[Finding]:
    findings = check_greys(rows.data)
    labels = check_labels(rows.label, classes=expected.classes, told=True)
    labels += _masks(rows.label)
    findings = [f for f in findings + labels if f.kind not in NOT_OF_TILES]
    findings += check_contrast(rows.data, rows.label)
    if rows.weights.pictures:
        findings += check_weights(rows.label, rows.weights)
    if not any(finding in findings for finding in labels):
        findings += check_pairs(rows.data, rows.label, kinds=PLACES)
    return findings


def _masks(labels: Source) -> list[Finding]:
    """Find masks of 0 and 255, which Caffe takes for classes."""
    tops = [int(p.values[0].max()) for p in labels.pictures if p.numbers.size]
    if tops and max(tops) in (255, 65535):
        what = f"labels go up to {max(tops)}; Caffe takes them for class numbers"
        return [Finding("label-beyond", str(labels.path), what)]
    return []
