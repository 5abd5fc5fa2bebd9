"""The curves of a training as figures, and the solver that its log names."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pyunet.training_logs.charts import Chart, Line, charts_of, draw
from pyunet.training_logs.reader import LOG, read_log
from pyunet_fiji.finetuning.curves import MEASURES, Curves
from pyunet_reproduce.report.pictures import Figure, figure

MANY = 200  # points, from which on a line is smoothed
WIDEST = 640
SOLVER = "Initializing solver from parameters:"
NAMES = {
    "iou": "IoU",
    "f1_detection": "F1, detection",
    "f1_segmentation": "F1, segmentation",
}


def log_charts(log: Path) -> list[Chart]:
    """Make the charts of a log of ``caffe train``, or of the folder that it kept.

    Raises
    ------
    DataError
        A log that cannot be read, or is none.
    """
    return charts_of([read_log(log)])


def finetuning_charts(table: Path, class_names: Sequence[str]) -> list[Chart]:
    """Make the charts of ``curves.csv`` of a finetuning.

    Parameters
    ----------
    table : Path
    class_names : sequence of str
        Without background.

    Raises
    ------
    DataError
        A table of other classes, or a damaged one.
    """
    curves = Curves.read_csv(table, class_names)
    validation = curves.validation
    losses = [Line("training", curves.training)]
    if validation:
        losses.append(
            Line(
                "validation", {k: v.loss for k, v in validation.items()}, 1, False, True
            )
        )
    charts = [Chart("loss", losses)] if curves.training or validation else []
    for measure in MEASURES if validation else ():
        lines = [
            Line(
                name,
                {k: getattr(v, measure)[number] for k, v in validation.items()},
                number,
                False,
                True,
            )
            for number, name in enumerate(class_names)
        ]
        charts.append(Chart(NAMES[measure], lines, top=1.0))
    return charts


def curve_figures(charts: Iterable[Chart]) -> list[Figure]:
    """Draw each chart as a figure of its own.

    Examples
    --------
    >>> made = curve_figures([Chart("loss", [Line("training", {0: 2.0, 1: 1.0})])])
    >>> made[0].caption, made[0].width
    ('loss', 640)
    """
    return [_drawn(chart) for chart in charts]


def solver_of(log: Path) -> str:
    """Give the text of the solver as ``caffe train`` logs it; "" where it is not.

    Examples
    --------
    >>> import tempfile
    >>> lines = ["I1 solver.cpp:45] Initializing solver from parameters: ",
    ...          "base_lr: 0.01", "I1 solver.cpp:58] Creating training net"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "train.log").write_text(chr(10).join(lines))
    ...     solver_of(Path(folder))
    'base_lr: 0.01'
    """
    file = log / LOG if log.is_dir() else log
    lines = iter(file.read_text(encoding="utf-8", errors="replace").splitlines())
    if not any(SOLVER in line for line in lines):
        return ""
    text = []
    for line in lines:
        if line[:1] in "IWEF" and "] " in line:
            break
        text.append(line)
    return "\n".join(text)


def _drawn(chart: Chart) -> Figure:
    longest = max((len(line.points) for line in chart.lines), default=0)
    drawn = draw([chart], smooth=max(1, longest // MANY) if longest > MANY else 1)
    data = io.BytesIO()
    drawn.savefig(data, format="png")
    with Image.open(data) as picture:
        shown = np.asarray(picture.convert("RGB"))
    return figure(shown, chart.title, side=WIDEST)
