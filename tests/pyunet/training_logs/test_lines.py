"""Lines of Caffe's logs, as each of its versions wrote them."""

import math

import pytest

from pyunet.training_logs.lines import BeginOfTest, Loss, Output, Rate, read_line

HEAD_2014 = "I0714 10:53:31.123456  5678 solver.cpp:160] "
HEAD_2026 = "I20261122 14:02:02.226122 10072 solver.cpp:239] "


@pytest.mark.parametrize("head", ["", HEAD_2014, HEAD_2026, "[1,0]<stderr>:I0101 "])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Iteration 20, loss = 2.30259", Loss(20, 2.30259, False)),
        ("Iteration 3 (3 iter/s, 0s/3 iters), loss = 0.96", Loss(3, 0.96, True)),
        ("Iteration 0 (-6.7e-41 iter/s, 0s/3 iters), loss = 1", Loss(0, 1.0, True)),
        ("Iteration 0 (0 iter/s, 0.13s/20 iter), loss = 6.9", Loss(0, 6.9, True)),
        ("Iteration 100, lr = 0.00992565", Rate(100, 0.00992565)),
        ("Iteration 7, lr = 1e-05", Rate(7, 1e-05)),
        ("Iteration 0, Testing net (#1)", BeginOfTest(0, 1)),
        ("Iteration 500, Testing net", BeginOfTest(500, 0)),
        ("Test score #1: 0.9845", Output("test", 1, "score", 0.9845, False)),
        (
            "    Train net output #0: loss = 0.25 (* 1 = 0.25 loss)",
            Output("train", 0, "loss", 0.25, True),
        ),
        (
            "    Test net output #2: loss3/top-5 = 0.875",
            Output("test", 2, "loss3/top-5", 0.875, False),
        ),
    ],
)
def test_what_the_course_of_a_training_is_told_by(head, line, said):
    assert read_line(f"{head}{line}\n") == said


@pytest.mark.parametrize("text", ["nan", "-nan", "NaN"])
def test_a_loss_may_be_no_number(text):
    assert math.isnan(read_line(f"Iteration 5, loss = {text}").value)
    assert math.isnan(read_line(f"Train net output #0: loss = {text} (* 1").value)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Solving LeNet",
        "Snapshotting to binary proto file lenet_iter_5000.caffemodel",
        "    IoU - Per class intersection: 20 29 ",
        "Iteration 20, loss = 0.5I0714 10:53:31.1",
        "Iteration x, loss = 1",
        "test_interval: 500",
    ],
)
def test_all_else_says_nothing(line):
    assert read_line(line) is None
