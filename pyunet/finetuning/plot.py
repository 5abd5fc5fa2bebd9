"""Draw the curves of a finetuning as a picture."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pyunet.files import atomic_path
from pyunet.finetuning.curves import MEASURES, Curves

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 18, 34, 44
TICKS = 5
GOLDEN = 0.618034
TITLES = {
    "iou": "IoU",
    "f1_detection": "F1, detection",
    "f1_segmentation": "F1, segmentation",
}
INK, GRID = (40, 40, 40), (225, 225, 225)
Colour = tuple[int, int, int]
Line = Mapping[int, float]


@dataclass(frozen=True)
class Chart:
    """One panel: a title and named lines over the iterations."""

    title: str
    lines: Mapping[str, Line]
    top: float | None = None  # of the vertical axis; None: the largest value


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
    losses: dict[str, Line] = {"training": curves.training}
    charts = [Chart("loss", losses)]
    if found:
        losses["validation"] = {k: one.loss for k, one in found.items()}
        for measure in MEASURES:
            lines = {
                name: {k: getattr(one, measure)[i] for k, one in found.items()}
                for i, name in enumerate(curves.class_names)
            }
            charts.append(Chart(TITLES[measure], lines, top=1.0))
    columns = min(2, len(charts))
    rows = -(-len(charts) // columns)
    whole = Image.new("RGB", (columns * WIDTH, rows * HEIGHT), "white")
    for number, chart in enumerate(charts):
        row, column = divmod(number, columns)
        whole.paste(_panel(chart), (column * WIDTH, row * HEIGHT))
    with atomic_path(path) as draft:
        whole.save(draft, format="PNG")


def _panel(chart: Chart) -> Image.Image:
    lines = {name: _finite(line) for name, line in chart.lines.items()}
    last = max((max(line) for line in lines.values() if line), default=1) or 1
    values = [value for line in lines.values() for value in line.values()]
    ticks = nice_ticks(chart.top or max(values, default=1.0))
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    pen.text((LEFT, 8), chart.title, INK, ImageFont.load_default(16))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def place(iteration: float, value: float) -> tuple[float, float]:
        x = LEFT + (right - LEFT) * iteration / last
        return x, bottom - (bottom - TOP) * value / ticks[-1]

    for tick in ticks:
        _, y = place(0, tick)
        pen.line([(LEFT, y), (right, y)], GRID)
        pen.text((LEFT - 8, y), f"{tick:g}", INK, font, anchor="rm")
    for tick in nice_ticks(last):
        x, _ = place(tick, 0)
        if x <= right:
            pen.text((x, bottom + 8), f"{tick:g}", INK, font, anchor="mt")
    pen.text((right, HEIGHT - 6), "iteration", INK, font, anchor="rb")
    for line, colour in zip(lines.values(), _colours(len(lines)), strict=True):
        points = [place(k, min(line[k], ticks[-1])) for k in sorted(line)]
        pen.line(points, colour, width=2)
        if len(points) == 1:
            pen.circle(points[0], 3, colour)
    _legend(pen, list(lines), right)
    pen.rectangle([LEFT, TOP, right, bottom], outline=INK)
    return picture


def nice_ticks(top: float) -> list[float]:
    """Give round numbers from 0 to the first that is not below a value.

    >>> nice_ticks(1.0), nice_ticks(37)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 10.0, 20.0, 30.0, 40.0])
    """
    rough = max(top, 1e-12) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough * (1 - 1e-9))
    count = math.ceil(top / step - 1e-9)
    return [round(n * step, 12) for n in range(max(count, 1) + 1)]


def _finite(line: Line) -> Line:
    return {k: value for k, value in line.items() if np.isfinite(value)}


def _legend(pen: ImageDraw.ImageDraw, names: Sequence[str], right: int) -> None:
    font = ImageFont.load_default(13)
    for row, (name, colour) in enumerate(
        zip(names, _colours(len(names)), strict=True)
    ):  # fmt: skip
        y = TOP + 14 + 18 * row
        pen.text((right - 12, y), name, colour, font, anchor="rm")


def _colours(count: int) -> list[Colour]:
    colours = []
    for number in range(count):
        share = colorsys.hsv_to_rgb((0.58 + number * GOLDEN) % 1, 0.85, 0.75)
        red, green, blue = (round(255 * part) for part in share)
        colours.append((red, green, blue))
    return colours
