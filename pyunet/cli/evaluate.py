"""``pyunet evaluate``: score a segmentation against labels made by hand."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyunet.cli.arguments import add_label_meaning, add_slices
from pyunet.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyunet.metrics.inputs import Prediction

HELP = "Score a segmentation: pixel error, Rand, V_rand, V_info, IoU, Dice."
EPILOG = """\
The first four are those of the ISBI 2012 challenge, each at its best threshold;
V_rand and V_info after border thinning. IoU and Dice are means over the classes.
The truth is understood as by `pyunet data make`; all classes but 0 are inside. The
prediction is a folder written by `pyunet segment`, or a TIFF or a folder of TIFF or
PNG files with labels (0/1, 0/255) or probabilities of inside (floats 0..1, 8-bit
0..255).

example:
  pyunet evaluate --truth train-labels.tif --slices 24:30 --prediction out"""
COLUMNS = {
    "pixel_error": "pixel error",
    "rand_error": "Rand error",
    "v_rand": "V_rand",
    "v_info": "V_info",
    "iou": "IoU",
    "dice": "Dice",
}
Scores = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "--truth",
        type=Path,
        required=True,
        metavar="LABELS",
        help="labels: a TIFF stack or a folder of TIFF or PNG files",
    )
    add(
        "--prediction",
        type=Path,
        required=True,
        metavar="OUT",
        help="what `pyunet segment --out` wrote, or a file or folder of maps",
    )
    add_slices(
        parser,
        "the slices of the truth that were predicted; every input that has as many "
        "slices as the truth is cut to them",
    )
    add_label_meaning(parser)
    add(
        "--baseline",
        type=Path,
        metavar="IMAGES",
        help="also score a global and a smoothed Otsu threshold of these images",
    )
    add("--per-slice", action="store_true", help="also print each slice's scores")
    add(
        "--json",
        type=Path,
        metavar="FILE",
        help="where the scores go (default: evaluation.json in the folder OUT, or "
        "beside the file OUT)",
    )


def run(args: argparse.Namespace) -> int:
    """Score the prediction, print a table and write the JSON file."""
    from pyunet.data.labels import read_labels
    from pyunet.files import atomic_path

    labels = read_labels(args.truth, kind=args.labels_are, inside=args.inside)
    frame = _Frame(args.truth, labels.classes.shape, args.slices)
    truth = frame.cut(labels.classes, args.truth)
    found = {"prediction": _read_prediction(args.prediction, frame)}
    if args.baseline:
        found.update(_read_baselines(args.baseline, frame))
    target = args.json or _beside(args.prediction)
    if not target.parent.is_dir():
        raise DataError(f"{target}: there is no folder {target.parent} to write into")
    print(f"slices {frame.start}:{frame.stop} of the truth {labels.sentence}")
    for name, each in found.items():
        source = args.prediction if name == "prediction" else args.baseline
        print(f"{name}, {source}: {each.sentence}")
    results = {name: _score(truth, each) for name, each in found.items()}
    report = {
        "truth": str(args.truth),
        "prediction": str(args.prediction),
        "slices": [frame.start, frame.stop],
        "understood": {"truth": labels.sentence}
        | {name: each.sentence for name, each in found.items()},
        "results": results,
    }
    with atomic_path(target) as draft:
        text = json.dumps(_plain(report), indent=1, allow_nan=False)
        draft.write_text(text + "\n", encoding="utf-8")
    print("", *_table(results, frame.start, per_slice=args.per_slice), "", sep="\n")
    print(_best_thresholds(results["prediction"]))
    print(f"written: {target}")
    return 0


@dataclass(frozen=True)
class _Frame:
    """The slices of the truth that count, and what else has to fit them."""

    truth: Path
    shape: tuple[int, ...]  # of the whole truth: slices, Y, X
    slices: slice | None

    @property
    def start(self) -> int:
        return self.slices.start if self.slices else 0

    @property
    def stop(self) -> int:
        stop = self.slices.stop if self.slices else None
        return self.shape[0] if stop is None else stop

    def cut(self, array: NDArray[Any], path: Path) -> NDArray[Any]:
        """Return the slices that count of an array (Z, ..., Y, X) of a file."""
        total, size, wanted = self.shape[0], self.shape[-2:], self.stop - self.start
        if not 0 <= self.start < self.stop <= total:
            raise DataError(
                f"--slices {self.start}:{self.stop}: {self.truth} has {total} slices; "
                f"accepted is FIRST < LAST within 0:{total}"
            )
        if array.shape[-2:] != size or len(array) not in (total, wanted):
            accepted = f"{wanted} slices" if wanted == total else f"{wanted} or {total}"
            hint = "" if self.slices else "; --slices FIRST:LAST takes some of them"
            raise DataError(
                f"{path}: {_sizes(array.shape)}, but the truth {self.truth} has "
                f"{_sizes(self.shape)}: accepted is {accepted} of that size{hint}"
            )
        return array if len(array) == wanted else array[self.start : self.stop]


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


def _read_prediction(path: Path, frame: _Frame) -> Prediction:
    from pyunet.metrics.inputs import prediction_of

    array, values = _read_maps(path)
    chosen = frame.cut(array, path)
    with _naming(path):
        return prediction_of(chosen, values)


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
                "accepted are files of one size and kind"
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
    import tifffile

    try:
        with tifffile.TiffFile(file) as tiff:
            notes = [tiff.imagej_metadata, *(tiff.shaped_metadata or ())]
    except tifffile.TiffFileError:
        return None  # a PNG file; what is no image at all is said when it is read
    found = [
        note["pyunet_values"] for note in notes if note and "pyunet_values" in note
    ]
    return str(found[0]) if found else None


def _read_baselines(path: Path, frame: _Frame) -> dict[str, Prediction]:
    from pyunet.data.images import read_stack
    from pyunet.metrics.baseline import SMOOTHING, otsu
    from pyunet.metrics.inputs import Prediction

    images = frame.cut(read_stack(path).array, path)
    if images.shape[1] != 1:
        raise DataError(f"{path}: has {images.shape[1]} channels; accepted is 1 (grey)")
    found = {}
    for name, sigma in (("otsu", 0.0), ("smoothed_otsu", SMOOTHING)):
        with _naming(path):
            inside, threshold = otsu(images[:, 0], sigma=sigma)
        sentence = f"grey values above {threshold:.4g} (the brighter side) are inside"
        if sigma:
            sentence += f", after a Gaussian of {sigma:g} px"
        found[name] = Prediction(inside, inside.astype(int), 2, sentence)
    return found


def _score(truth: NDArray[Any], found: Prediction) -> Scores:
    """Return all scores of one prediction, of the stack and of each slice."""
    from pyunet.metrics import isbi2012, overlap
    from pyunet.metrics.curves import Curves

    curves = Curves(truth > 0, found.probability, progress=True)
    best = {
        "pixel_error": curves.pixel_error(),
        "rand_error": curves.rand_error(),
        "v_rand": curves.v_rand(),
        "v_info": curves.v_info(),
    }
    known, count = truth, max(found.count, int(truth.max()) + 1)
    if found.count == 2:
        known, count = (truth > 0).astype(int), 2
    scores: Scores = dict(isbi2012.summary(curves))
    per_slice: Scores = {name: each.slices for name, each in best.items()}
    for name, function in (("iou", overlap.iou), ("dice", overlap.dice)):
        of_class = function(known, found.classes, count)
        scores[name] = overlap.mean(of_class)
        scores[f"{name}_per_class"] = of_class.tolist()
        per_slice[name] = [
            overlap.mean(function(*pair, count))
            for pair in zip(known, found.classes, strict=True)
        ]
    scores["pixel_accuracy"] = overlap.pixel_accuracy(known, found.classes, count)
    scores["thresholds"] = {name: each.threshold for name, each in best.items()}
    scores["per_slice"] = per_slice
    return scores


def _table(results: Scores, first: int, *, per_slice: bool) -> Iterator[str]:
    """Yield the lines of the table: a line per prediction, a column per metric."""
    width = max(len(name) for name in (*results, "  slice 0000"))
    yield " " * width + "".join(f"  {head:>11}" for head in COLUMNS.values())
    for name, scores in results.items():
        yield f"{name:{width}}" + "".join(f"  {scores[key]:11.4f}" for key in COLUMNS)
        rows = zip(*(scores["per_slice"][key] for key in COLUMNS), strict=True)
        for number, row in enumerate(rows if per_slice else (), first):
            start = f"  slice {number}"
            yield f"{start:{width}}" + "".join(f"  {value:11.4f}" for value in row)


def _best_thresholds(scores: Scores) -> str:
    found = (
        f"{COLUMNS[name]} {'none' if threshold is None else format(threshold, '.1f')}"
        for name, threshold in scores["thresholds"].items()
    )
    return f"best thresholds of the prediction: {', '.join(found)}"


def _beside(prediction: Path) -> Path:
    if prediction.is_dir():
        return prediction / "evaluation.json"
    return prediction.with_name(f"{prediction.stem}_evaluation.json")


def _plain(value: Any) -> Any:
    """Replace NaN, which JSON has not, by null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
