"""Draw the curves of a finetuning as a picture."""

from __future__ import annotations

from pathlib import Path

from pyunet.training_logs.charts import Chart, Line, write_charts
from pyunet_fiji.finetuning.curves import MEASURES, Curves

TITLES = {
    "iou": "IoU",
    "f1_detection": "F1, detection",
    "f1_segmentation": "F1, segmentation",
}


def curves_png(path: Path, curves: Curves) -> None:
    """Write a picture: losses, and with validation IoU and both F1 of every class.

    Parameters
    ----------
    path : Path
    curves : Curves

    Raises
    ------
    DataError
        The file cannot be written.
    """
    found = curves.validation
    charts = [Chart("loss", [Line("training", curves.training)])]
    if found:
        losses = {iteration: one.loss for iteration, one in found.items()}
        charts[0].lines.append(Line("validation", losses, 1))
        for measure in MEASURES:
            lines = [
                Line(name, {k: getattr(one, measure)[i] for k, one in found.items()}, i)
                for i, name in enumerate(curves.class_names)
            ]
            charts.append(Chart(TITLES[measure], lines, top=1.0))
    write_charts(path, charts)
