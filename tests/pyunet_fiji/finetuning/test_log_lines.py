"""Lines of ``caffe train`` as the plugin understands them."""

import math

import pytest

from pyunet_fiji.finetuning.log_lines import LogReader, Snapshot, Step

HEAD = "I20261122 14:44:32.324405 15590 solver.cpp:239] "


def events(classes, *lines):
    reader = LogReader(classes)
    found = [reader.read(f"{HEAD}{line}\n") for line in lines]
    return [event for event in found if event is not None]


@pytest.mark.parametrize(
    "line",
    [
        "Iteration 6, loss = 0.176567",
        "Iteration 5, lr = 0.001",
        "    Train net output #0: loss = 0.3 (* 1 = 0.3 loss)",
        "Snapshotting solver state to HDF5 file s_iter_6.solverstate.h5",
        "Solving tiny2d",
        "",
    ],
)
def test_most_lines_say_nothing(line):
    assert events(1, line) == []


def test_a_training_line_gives_its_loss():
    line = "Iteration 12 (2.6623e+32 iter/s, 0.067s/1 iters), loss = 1.25e-05"
    assert events(1, line) == [Step(12, 1.25e-05)]
    (step,) = events(1, "Iteration 3 (1 iter/s, 1s/1 iters), loss = -nan")
    assert math.isnan(step.loss)


def test_a_snapshot_gives_its_iteration():
    line = "Snapshotting to HDF5 file /a b/x_iter_2/snapshot_iter_26.caffemodel.h5"
    assert events(1, line) == [Snapshot(26)]


def tile(first, second):
    """The lines of one validation tile; each number is of one class."""
    lines = [f"    IoU - Per class intersection: {first[0]} {second[0]} "]
    lines.append(f"    IoU - Per class union: {first[1]} {second[1]} ")
    for name in ("F1_detection", "F1_segmentation"):
        for row, what in enumerate(("true positive", "prediction", "object"), 2):
            lines.append(
                f"    {name} - Per class {what} count: {first[row]} {second[row]} "
            )
    return lines


def test_counts_are_added_up_over_the_tiles_before_they_are_divided():
    (found,) = events(
        2,
        "Iteration 3, Testing net (#0)",
        *tile((319, 385, 3, 3, 3), (0, 2033, 0, 1, 0)),
        *tile((147, 295, 2, 7, 2), (0, 783, 0, 2, 1)),
        "    Test net output #0: F1_detection = 0.722222",
        "    Test net output #5: IoU = 0",
        "    Test net output #6: loss_valid = 1.22552 (* 1 = 1.22552 loss)",
    )
    assert (found.iteration, found.loss) == (3, 1.22552)
    assert found.iou == pytest.approx(((319 + 147) / (385 + 295), 0))
    f1 = 2 * (3 + 2) / (3 + 7 + 3 + 2), 0
    assert found.f1_detection == found.f1_segmentation == pytest.approx(f1)


def test_the_next_validation_begins_anew_and_nothing_of_nothing_is_no_number():
    empty = tile((0, 0, 0, 0, 0), (0, 0, 0, 0, 0))
    _, second = events(
        2,
        "Iteration 0, Testing net (#0)",
        *tile((5, 5, 1, 1, 1), (5, 5, 1, 1, 1)),
        "    Test net output #6: loss_valid = 1 (* 1 = 1 loss)",
        "Iteration 9, Testing net (#0)",
        *empty,
        "    Test net output #6: loss_valid = 2 (* 1 = 2 loss)",
    )
    assert second.iteration == 9
    assert all(math.isnan(value) for value in (*second.iou, *second.f1_detection))


def test_an_interrupted_validation_counts_for_nothing():
    (found,) = events(
        1,
        "Iteration 0, Testing net (#0)",
        "    IoU - Per class intersection: 5 ",
        "    IoU - Per class union: 5 ",
        "Test interrupted.",
        "Iteration 0, Testing net (#0)",
        "    IoU - Per class intersection: 1 ",
        "    IoU - Per class union: 4 ",
        "    Test net output #3: loss_valid = 0.5 (* 1 = 0.5 loss)",
    )
    assert found.iou == (0.25,)
