"""``pyunet report``: one page about a training."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyunet.cli.arguments import add_label_meaning, add_slices
from pyunet.cli.saying import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyunet_metrics.inputs import Prediction
    from pyunet_reproduce.report.run import Case, Run

HELP = "write one page about a training: model, data, curves, scores, pictures"
EPILOG = """\
RUN_DIR is a folder of pyunet finetune or pyunet reproduce (or one run in it), or the
folder of caffe train --log. The options add parts or replace what was found
there. A part that is not there is left out, and the page says so. Images are scored by
IoU of the classes; the worst and the best are shown.

The page is one file: it holds its pictures, runs no script and fetches nothing.

example:
  pyunet report mycells -o report.html
  pyunet report runs/1 --model unet_demo --data demo/data/train.txt \\
      --weights demo/snapshots/unet_demo_iter_2000.caffemodel \\
      --images demo/unseen/images.tif --truth demo/unseen/labels.tif \\
      --prediction demo/out -o report.html
"""
EVALUATION = "evaluation.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "run_dir", nargs="?", type=Path, metavar="RUN_DIR",
        help="what a training left (default: only what the options name)",
    )  # fmt: skip
    add("-o", "--out", required=True, type=Path, metavar="FILE", help="the page, .html")
    add("--title", help="(default: the name of the folder)")
    add(
        "--log", type=Path, metavar="LOG",
        help="log of caffe train, or the folder of its --log",
    )  # fmt: skip
    add(
        "--model", metavar="MODEL",
        help="folder with deploy.prototxt, a prototxt, a .modeldef.h5, or a name",
    )  # fmt: skip
    add("--weights", type=Path, metavar="FILE", help="its weights")
    add(
        "--data", type=Path, metavar="LIST",
        help="train.txt of the training set; its paths count from here",
    )  # fmt: skip
    add("--images", type=Path, metavar="IMAGES", help="that were segmented")
    add("--truth", type=Path, metavar="LABELS", help="their hand labels")
    add(
        "--prediction", type=Path, metavar="OUT",
        help="the prediction: a folder of pyunet segment, labels or probabilities",
    )  # fmt: skip
    add_label_meaning(parser)
    add_slices(parser, "score only these slices of the truth")


def run(args: argparse.Namespace) -> int:
    """Find all parts and write the page."""
    from pyunet_reproduce.report.page import write_report

    run = _given(args, _found(args))
    if args.title:
        run = replace(run, title=args.title)
    sections = write_report(args.out, run)
    print(args.out)
    for section in sections:
        if section.missing:
            say(f"  left out: {section.title}: {section.missing}")
    return 0


def _found(args: argparse.Namespace) -> Run:
    """Find what a folder holds."""
    from pyunet.errors import DataError
    from pyunet.training_logs.reader import LOG
    from pyunet_reproduce.report.finetuned import is_finetuned, read_finetuned
    from pyunet_reproduce.report.reproduced import is_reproduced, read_reproduced
    from pyunet_reproduce.report.run import Run

    folder = args.run_dir
    if folder is None:
        return Run(args.out.stem)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; RUN_DIR is what a training left")
    if is_finetuned(folder):
        return read_finetuned(folder)
    if is_reproduced(folder):
        return read_reproduced(folder)
    if not (folder / LOG).is_file():
        raise DataError(
            f"{folder}: has no {LOG}; expected a folder of pyunet finetune, "
            "pyunet reproduce or caffe train --log"
        )
    return _with_log(Run(str(folder)), folder)


def _with_log(run: Run, log: Path) -> Run:
    import functools

    from pyunet_reproduce.report.curves import log_charts, solver_of

    charts = functools.partial(log_charts, log)
    return replace(run, charts=charts, solver=solver_of(log) or run.solver)


def _given(args: argparse.Namespace, run: Run) -> Run:
    """Add the parts that options name."""
    from pyunet.zoo import find_model
    from pyunet_reproduce.report.training_files import (
        describe_training_set,
        read_weight_example,
    )

    if args.log:
        run = _with_log(run, args.log)
    if args.model:
        run = replace(run, deploy=find_model(args.model))
        run = _with_solver(run)
    if args.weights:
        run = replace(run, weights=args.weights)
    if args.data:
        run = replace(
            run,
            data=describe_training_set(args.data),
            weight_example=lambda: read_weight_example(args.data),
        )
    return _scored(args, run)


def _with_solver(run: Run) -> Run:
    """Take the solver beside the net, unless the log contains the training's own."""
    from pyunet.boundary import reading

    if run.solver or run.deploy is None:
        return run
    beside = run.deploy.parent / "solver.prototxt"
    if not beside.is_file():
        return run
    with reading(beside):
        return replace(run, solver=beside.read_text(encoding="utf-8"))


def _scored(args: argparse.Namespace, run: Run) -> Run:
    from pyunet.errors import DataError

    if bool(args.truth) != bool(args.prediction):
        raise DataError("--truth and --prediction: go with each other")
    if not args.truth:
        if args.images:
            raise DataError(f"--images {args.images}: goes with --truth, --prediction")
        return run
    cases, tables = list(_cases(args)), _evaluation(args.prediction)
    return replace(run, cases=lambda: iter(cases), tables=tables)


def _cases(args: argparse.Namespace) -> Iterator[Case]:
    """Pair truth, prediction and images, slice by slice."""
    from pyunet.data.images import read_stack
    from pyunet.data.labels import read_labels
    from pyunet_metrics.cli.evaluate_inputs import Frame, read_prediction
    from pyunet_reproduce.report.run import Case

    labels = read_labels(args.truth, kind=args.labels_are, inside=args.inside)
    frame = Frame(args.truth, labels.classes.shape, args.slices)
    truth = frame.cut(labels.classes, args.truth)
    prediction = read_prediction(args.prediction, frame, instances=False)
    images = None
    names = [f"slice {number}" for number in range(frame.start, frame.stop)]
    if args.images:
        stack = read_stack(args.images)
        images = frame.cut(stack.array, args.images)
        if len(stack.paths) == len(stack.array) == len(truth):
            names = [path.name for path in stack.paths]
    for number, name in enumerate(names):
        yield Case(
            name,
            _alike(truth[number], prediction),
            prediction.classes[number],
            None if images is None else images[number],
        )


def _alike(truth: NDArray[Any], prediction: Prediction) -> NDArray[Any]:
    """Tell inside from outside only, where the prediction tells no more apart."""
    return (truth > 0).astype(int) if prediction.count == 2 else truth


def _evaluation(prediction: Path) -> list[Any]:
    """Take over what ``pyunet evaluate`` wrote beside a prediction."""
    from pyunet.boundary import reading
    from pyunet.notes import read_notes
    from pyunet_reproduce.report.run import Table

    path = prediction / EVALUATION
    if not path.is_file():
        return []
    with reading(path, "no scores of pyunet evaluate"):
        results = read_notes(path)["results"]["prediction"]
        rows = [
            (name, f"{value:.4f}")
            for name, value in results.items()
            if isinstance(value, (int, float))
        ]
    return [Table("pyunet evaluate", (), rows)] if rows else []
