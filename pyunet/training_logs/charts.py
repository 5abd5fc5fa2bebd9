"""Pictures of curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyunet.errors import DataError
from pyunet.files import atomic_path
from pyunet.training_logs.reader import TrainingLog

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE_INCHES, DPI = (6.4, 4.0), 100
COLUMNS = 2
SPAN = (
    50.0  # of losses, the largest over the smallest: with more, the axis is in powers
)


@dataclass(frozen=True)
class Line:
    """A named curve.

    Attributes
    ----------
    name : str
    points : mapping of int to float
        Value by iteration; what is not finite is left out.
    colour : int or None
        Number of the colour; None: another one than the lines before.
    dashed : bool
    marked : bool
        Every point is shown: they are few.
    noisy : bool
        May be smoothed.
    """

    name: str
    points: Mapping[int, float]
    colour: int | None = 0
    dashed: bool = False
    marked: bool = False
    noisy: bool = False


@dataclass
class Chart:
    """One panel.

    Attributes
    ----------
    title : str
    lines : list of Line
    top : float or None
        End of the vertical axis, which begins at 0; None: as the values are.
    """

    title: str
    lines: list[Line] = field(default_factory=list)
    top: float | None = None


def write_charts(path: Path, charts: Sequence[Chart], *, smooth: int = 1) -> None:
    """Write charts, two side by side.

    Parameters
    ----------
    path : Path
        Its ending says how: ``.png`` (also without any), ``.svg``, ``.pdf``, ...
    charts : sequence of Chart
    smooth : int, default 1
        Show means of so many neighbouring points of noisy lines, and the points
        themselves pale.

    Raises
    ------
    DataError
        The file cannot be written, or its ending is no picture's.
    """
    figure = draw(charts, smooth=smooth)
    format_ = path.suffix[1:].lower() or "png"
    formats = sorted(figure.canvas.get_supported_filetypes())
    if format_ not in formats:
        raise DataError(f"{path}: expected a picture, .{', .'.join(formats)}")
    with atomic_path(path) as draft:
        figure.savefig(draft, format=format_)


def draw(charts: Sequence[Chart], *, smooth: int = 1) -> Figure:
    """Draw charts; see `write_charts`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(charts))
    rows = -(-len(charts) // columns)
    width, height = SIZE_INCHES
    figure = Figure((width * columns, height * rows), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    for number, chart in enumerate(charts, 1):
        _panel(figure.add_subplot(rows, columns, number), chart, smooth)
    return figure


def charts_of(logs: Sequence[TrainingLog]) -> list[Chart]:
    """Make the charts of trainings: loss, every other output, the rate if it changes.

    Examples
    --------
    >>> from pyunet.training_logs.reader import read_lines
    >>> log = read_lines(["Iteration 0, loss = 2", "Iteration 5, loss = 1"], "a")
    >>> [chart.title for chart in charts_of([log])]
    ['loss']
    """
    charts = {"loss": Chart("loss")}
    for place, log in enumerate(logs):
        for title, line in _lines(log, place, alone=len(logs) == 1):
            lines = charts.setdefault(title, Chart(title)).lines
            if line.points:
                colour = len(lines) if line.colour is None else line.colour
                lines.append(replace(line, colour=colour))
    rates = charts.pop("learning rate", None)
    if rates and any(len(set(line.points.values())) > 1 for line in rates.lines):
        charts["learning rate"] = rates
    return [chart for chart in charts.values() if chart.lines]


def running_mean(points: Mapping[int, float], width: int) -> dict[int, float]:
    """Mean of each point with its neighbours, `width` in all, fewer at the ends.

    Examples
    --------
    >>> running_mean({0: 4.0, 1: 2.0, 2: 0.0, 3: 4.0}, 3)
    {0: 3.0, 1: 2.0, 2: 2.0, 3: 2.0}
    """
    places, before = sorted(points), (width - 1) // 2
    means = {}
    for index, place in enumerate(places):
        near = places[max(0, index - before) : index + width - before]
        means[place] = sum(points[other] for other in near) / len(near)
    return means


def _lines(log: TrainingLog, place: int, *, alone: bool) -> Iterator[tuple[str, Line]]:
    """Give the lines of a log with the titles of their charts."""
    head = "" if alone else f"{log.name}, "
    losses = [name for name in log.test if _bare(name) in log.losses]
    yield "loss", Line(f"{head}training", log.loss, place, noisy=True)
    for name in losses:
        shown, same = (
            ("test", not alone) if len(losses) == 1 else (f"test {name}", False)
        )
        colour = place if same else None
        yield "loss", Line(f"{head}{shown}", log.test[name], colour, not alone, True)
    for outputs, which in ((log.train, "training"), (log.test, "test")):
        for name, points in outputs.items():
            if _bare(name) in log.losses:
                continue
            title, several, _ = name.partition("[")
            shown = f"{head}{name}, {which}" if several else f"{head}{which}"
            colour = None if several else place
            test = which == "test"
            yield title, Line(shown, points, colour, not test, test, not test)
    yield "learning rate", Line(log.name, log.rate, place)


def _bare(name: str) -> str:
    """Name of an output without its place."""
    head, bracket, rest = name.partition("[")
    return head + rest.partition("]")[2] if bracket else name


def _panel(axes: Any, chart: Chart, smooth: int) -> None:
    values: list[float] = []
    for line in chart.lines:
        points = {k: v for k, v in line.points.items() if math.isfinite(v)}
        values += points.values()
        _draw_line(axes, line, points, smooth if line.noisy else 1)
    axes.set_title(chart.title)
    axes.set_xlabel("iteration")
    axes.grid(visible=True, alpha=0.3)
    if chart.top is not None:
        axes.set_ylim(0, chart.top)
    elif chart.title == "loss" and values and 0 < SPAN * min(values) < max(values):
        axes.set_yscale("log")
    elif values and min(values) >= 0:
        axes.set_ylim(bottom=0)
    axes.legend()


def _draw_line(axes: Any, line: Line, points: Mapping[int, float], smooth: int) -> None:
    style = {
        "color": f"C{(line.colour or 0) % 10}",
        "linestyle": "--" if line.dashed else "-",
        "marker": "o" if line.marked or len(points) == 1 else "",
        "markersize": 3,
    }
    if smooth > 1:
        axes.plot(
            sorted(points), [points[k] for k in sorted(points)], alpha=0.25, **style
        )
        points = running_mean(points, smooth)
    places = sorted(points)
    axes.plot(places, [points[k] for k in places], label=line.name, **style)
