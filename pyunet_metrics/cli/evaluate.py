"""``pyunet evaluate``: score a segmentation against labels made by hand."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyunet.cli.arguments import add_label_meaning, add_slices
from pyunet.cli.saying import say
from pyunet.errors import DataError
from pyunet_metrics.cli.evaluate_inputs import (
    Frame,
    read_baselines,
    read_field,
    read_prediction,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyunet.data.labels import Labels
    from pyunet_metrics.families import Pair
    from pyunet_metrics.inputs import Prediction

HELP = "Score a segmentation: pixel error, Rand, V_rand, V_info, IoU, Dice, and more."
EPILOG = """\
The first four are those of the ISBI 2012 challenge, each at its best threshold;
V_rand and V_info after border thinning. IoU and Dice are means over the classes.
The truth is understood as by `pyunet data make`; all classes but 0 are inside. The
prediction is a folder written by `pyunet segment`, or a TIFF or a folder of TIFF or
PNG files with labels (0/1, 0/255) or probabilities of inside (floats 0..1, 8-bit
0..255).

With --metrics, whole families instead, of all slices together and of each:
  isbi      the challenge's: pixel, Rand, warping error, V_rand, V_info
  overlap   Dice, IoU, mean IoU, precision, recall, specificity, accuracy
  ranking   ROC AUC, average precision, PR AUC, best F1 with its threshold
  distance  Hausdorff, 95 % Hausdorff, average surface distance
  objects   object Dice and Hausdorff, F1, AJI, PQ; objects are 4-connected regions
  saliency  S-measure, E-measure, F-measure, weighted F, MAE, HCE
  tracking  SEG, DET, TRA of folders of the Cell Tracking Challenge (nothing else
            then): --truth 01_GT --prediction 01_RES

example:
  pyunet evaluate --truth train-labels.tif --slices 24:30 --prediction out
  pyunet evaluate --truth vessels --prediction out --metrics overlap ranking \\
      --fov masks"""
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
        "--metrics",
        nargs="+",
        default=[],
        metavar="FAMILY",
        help="families of metrics (default: the table of six)",
    )
    add(
        "--fov",
        type=Path,
        metavar="MASKS",
        help="field of view for overlap and ranking: pixels above 0 count; one mask "
        "for all slices, or one each",
    )
    add(
        "--element-size",
        type=_numbers,
        default=(),
        metavar="[Z,]Y,X",
        help="size of a pixel for distance and objects, in any unit; with Z the stack "
        "is one volume (default: 1,1, that is pixels)",
    )
    add(
        "--prediction-is",
        choices=("auto", "instances"),
        default="auto",
        help="instances: the numbers of the prediction are objects (default: classes "
        "or probabilities, objects are regions)",
    )
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

    if "tracking" in args.metrics:
        return _track(args)
    labels = read_labels(args.truth, kind=args.labels_are, inside=args.inside)
    frame = Frame(args.truth, labels.classes.shape, args.slices)
    truth = frame.cut(labels.classes, args.truth)
    instances = args.prediction_is == "instances"
    predictions = {
        "prediction": read_prediction(args.prediction, frame, instances=instances)
    }
    if args.baseline:
        predictions.update(read_baselines(args.baseline, frame))
    target = _target(args)
    print(f"slices {frame.start}:{frame.stop} of the truth {labels.sentence}")
    for name, each in predictions.items():
        source = args.prediction if name == "prediction" else args.baseline
        say(f"{name}, {source}: {each.sentence}")
    report = {
        "truth": str(args.truth),
        "prediction": str(args.prediction),
        "slices": [frame.start, frame.stop],
        "understood": {"truth": labels.sentence}
        | {name: each.sentence for name, each in predictions.items()},
    }
    if args.metrics:
        results, lines = _families(args, frame, labels, predictions)
    else:
        results = {name: _score(truth, each) for name, each in predictions.items()}
        lines = [
            *_table(results, frame.start, per_slice=args.per_slice),
            "",
            _best_thresholds(results["prediction"]),
        ]
    _write(target, report | {"results": results})
    say("", *lines)
    print(f"written: {target}")
    return 0


def _write(target: Path, report: Scores) -> None:
    from pyunet.files import atomic_path

    with atomic_path(target) as draft:
        text = json.dumps(_plain(report), indent=1, allow_nan=False)
        draft.write_text(text + "\n", encoding="utf-8")


def _track(args: argparse.Namespace) -> int:
    """Score a folder of the Cell Tracking Challenge."""
    from pyunet_metrics import tracking

    if len(set(args.metrics)) > 1:
        raise DataError(
            f"--metrics {' '.join(args.metrics)}: tracking reads other files than the "
            "rest; expected tracking alone"
        )
    scores = tracking.evaluate(args.truth, args.prediction)
    target = _target(args)
    report = {"truth": str(args.truth), "prediction": str(args.prediction)}
    _write(target, report | {"results": {"prediction": {"tracking": scores}}})
    say(*_family("tracking", scores, {}, 0))
    print(f"written: {target}")
    return 0


def _families(
    args: argparse.Namespace,
    frame: Frame,
    labels: Labels,
    predictions: dict[str, Prediction],
) -> tuple[Scores, list[str]]:
    """Return the results of all families, and the tables."""
    from dataclasses import asdict

    from pyunet_metrics.families import score

    results: Scores = {}
    lines: list[str] = []
    for name, each in predictions.items():
        own = args.prediction_is == "instances" and name == "prediction"
        pair = _pair(args, frame, labels, each, own)
        scores = score(pair, args.metrics)
        results[name] = {family: asdict(part) for family, part in scores.items()}
        for family, part in scores.items():
            rows = part.per_image if args.per_slice else {}
            lines += _family(f"{name}, {family}", part.pooled, rows, frame.start)
    return results, lines


def _pair(
    args: argparse.Namespace,
    frame: Frame,
    labels: Labels,
    prediction: Prediction,
    instances: bool,
) -> Pair:
    from pyunet.data.images import read_stack
    from pyunet_metrics.families import Pair
    from pyunet_metrics.objects import regions

    classes = frame.cut(labels.classes, args.truth)
    truth_classes, count = classes, max(prediction.count, int(classes.max()) + 1)
    if prediction.count == 2:
        truth_classes, count = (classes > 0).astype(int), 2
    cells = labels.instances
    raw = read_stack(args.truth, palette_as_index=True).array[:, 0]
    if labels.classes.max() == 1 and len(set(raw.ravel().tolist())) > 2:
        cells = raw.astype(int)  # touching cells whole, as the file has them
    size = args.element_size
    volume = len(size) == 3
    predicted = (
        prediction.classes if instances else regions(prediction.classes, volume=volume)
    )
    return Pair(
        truth_classes,
        (prediction.classes > 0).astype(int) if instances else prediction.classes,
        count,
        prediction.probability,
        frame.cut(cells, args.truth),
        predicted,
        read_field(args.fov, frame) if args.fov else None,
        size,
    )


def _score(truth: NDArray[Any], prediction: Prediction) -> Scores:
    """Return all scores of one prediction, of the stack and of each slice."""
    from pyunet_metrics import isbi2012, overlap
    from pyunet_metrics.curves import Curves

    curves = Curves(truth > 0, prediction.probability, progress=True)
    best = {
        "pixel_error": curves.pixel_error(),
        "rand_error": curves.rand_error(),
        "v_rand": curves.v_rand(),
        "v_info": curves.v_info(),
    }
    truth_classes, count = truth, max(prediction.count, int(truth.max()) + 1)
    if prediction.count == 2:
        truth_classes, count = (truth > 0).astype(int), 2
    scores: Scores = dict(isbi2012.summary(curves))
    per_slice: Scores = {name: each.slices for name, each in best.items()}
    for name, function in (("iou", overlap.iou), ("dice", overlap.dice)):
        of_class = function(truth_classes, prediction.classes, count)
        scores[name] = overlap.mean(of_class)
        scores[f"{name}_per_class"] = of_class.tolist()
        per_slice[name] = [
            overlap.mean(function(*pair, count))
            for pair in zip(truth_classes, prediction.classes, strict=True)
        ]
    scores["pixel_accuracy"] = overlap.pixel_accuracy(
        truth_classes, prediction.classes, count
    )
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


def _family(
    title: str, pooled: Scores, rows: dict[str, list[float]], first: int
) -> Iterator[str]:
    """Yield the lines of one family: a line a metric, a column a slice after all's."""
    width = max(len(name) for name in (*pooled, title))
    count = max((len(values) for values in rows.values()), default=0)
    heads = ("all", *(f"slice {number}" for number in range(first, first + count)))
    yield f"{title:{width}}" + "".join(f"  {head:>11}" for head in heads)
    for name, value in pooled.items():
        values = (value, *rows.get(name, ()))
        yield f"{name:{width}}" + "".join(f"  {each:11.4f}" for each in values)
    yield ""


def _best_thresholds(scores: Scores) -> str:
    shown = (
        f"{COLUMNS[name]} {'none' if threshold is None else format(threshold, '.1f')}"
        for name, threshold in scores["thresholds"].items()
    )
    return f"best thresholds of the prediction: {', '.join(shown)}"


def _target(args: argparse.Namespace) -> Path:
    """Return where the scores go, and see that they can."""
    beside: Path = args.prediction / "evaluation.json"
    if not args.prediction.is_dir():
        beside = args.prediction.with_name(f"{args.prediction.stem}_evaluation.json")
    target = args.json or beside
    if not target.parent.is_dir():
        raise DataError(f"{target}: there is no folder {target.parent} to write into")
    return Path(target)


def _plain(value: Any) -> Any:
    """Replace NaN and infinity, which JSON has not, by null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(text: str) -> tuple[float, ...]:
    try:
        sizes = tuple(float(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if len(sizes) not in (2, 3) or not all(0 < each < math.inf for each in sizes):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not [Z,]Y,X, such as 0.5,0.5: numbers above 0"
        )
    return sizes
