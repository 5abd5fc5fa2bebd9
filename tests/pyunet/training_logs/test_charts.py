"""Charts of trainings and their picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pyunet.errors import DataError
from pyunet.training_logs.charts import (
    Chart,
    Line,
    charts_of,
    draw,
    running_mean,
    write_charts,
)
from pyunet.training_logs.reader import read_lines

LOG = """\
] Iteration 0, Testing net (#0)
]     Test net output #0: IoU = 0.1
]     Test net output #1: IoU = 0.2
]     Test net output #2: loss = 0.9 (* 1 = 0.9 loss)
] Iteration 0, loss = 1
]     Train net output #0: accuracy = 0.5
] Iteration 0, lr = 0.1
] Iteration 5, loss = 0.5
] Iteration 5, lr = 0.1
"""


def log(name, text=LOG):
    return read_lines(text.splitlines(), name)


def lines(charts):
    return {chart.title: [line.name for line in chart.lines] for chart in charts}


def test_losses_share_a_chart_and_each_other_output_has_one():
    assert lines(charts_of([log("a")])) == {
        "loss": ["training", "test"],
        "accuracy": ["training"],
        "IoU": ["IoU[0], test", "IoU[1], test"],
    }


def test_the_rate_has_a_chart_if_it_changes():
    falling = LOG.replace("5, lr = 0.1", "5, lr = 0.01")
    assert lines(charts_of([log("a", falling)]))["learning rate"] == ["a"]


def test_losses_of_a_test_are_told_apart():
    text = LOG.replace("1: IoU = 0.2", "1: loss2 = 0.2 (* 0.3 = 0.06 loss)")
    charts = charts_of([log("a", text), log("b", text)])
    assert lines(charts)["loss"][1:3] == ["a, test loss2", "a, test loss"]
    looks = {(line.colour, line.dashed) for line in charts[0].lines}
    assert len(looks) == 6


def test_lines_of_several_logs_bear_their_names_and_are_told_apart():
    charts = charts_of([log("a"), log("b")])
    assert lines(charts)["loss"] == ["a, training", "a, test", "b, training", "b, test"]
    for chart in charts:
        looks = {(line.colour, line.dashed) for line in chart.lines}
        assert len(looks) == len(chart.lines)


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=30), st.integers(1, 9))
def test_a_running_mean_stays_within_its_neighbours(values, width):
    points = dict(enumerate(values))
    found = running_mean(points, width)
    assert found.keys() == points.keys()
    for index, mean in found.items():
        near = values[max(0, index - width) : index + width]
        assert min(near) - 1e-9 <= mean <= max(near) + 1e-9
    if width == 1:
        assert found == points


def axes_of(*charts, **options):
    return draw(charts, **options).axes


def test_losses_of_several_powers_are_shown_in_powers():
    wide, narrow = (
        axes_of(Chart("loss", [Line("training", {0: first, 1: 0.5})]))[0]
        for first in (80.0, 2.0)
    )
    assert (wide.get_yscale(), narrow.get_yscale()) == ("log", "linear")
    assert narrow.get_ylim()[0] == 0


def test_values_below_zero_are_seen():
    (axes,) = axes_of(Chart("loss", [Line("training", {0: 1.0, 1: -2.0})]))
    assert axes.get_ylim()[0] < -2


def test_what_is_no_number_leaves_a_gap_and_no_error():
    points = {0: 1.0, 1: float("nan"), 2: float("inf"), 3: 0.5}
    (axes,) = axes_of(Chart("loss", [Line("training", points)]))
    assert list(axes.lines[0].get_xdata()) == [0, 3]


def test_smoothing_keeps_the_points_pale_and_leaves_tests_alone():
    points = {i: float(i % 2) for i in range(9)}
    chart = Chart("loss", [Line("a", points, noisy=True), Line("b", points, 1)])
    (axes,) = axes_of(chart, smooth=3)
    pale, smooth, test = axes.lines
    assert pale.get_alpha() == 0.25
    assert list(pale.get_ydata()) == list(test.get_ydata()) == list(points.values())
    assert np.ptp(smooth.get_ydata()) < 1


def test_the_picture_has_a_panel_for_each_chart(tmp_path):
    chart = Chart("loss", [Line("training", {0: 1.0, 5: 0.5})])
    for count, size in ((1, (640, 400)), (3, (1280, 800))):
        write_charts(tmp_path / "a.png", [chart] * count)
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.size == size
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert (np.ptp(pixels, axis=-1) > 60).sum() > 200 * count


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    chart = Chart("loss", [Line("training", {0: 1.0})])
    with pytest.raises(DataError, match=r"gone/a\.png: cannot be written: No such"):
        write_charts(tmp_path / "gone" / "a.png", [chart])
