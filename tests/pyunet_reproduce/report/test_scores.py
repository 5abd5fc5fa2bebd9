"""Scores of images, and which of them are shown."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyunet.errors import DataError
from pyunet_reproduce.report.run import Case
from pyunet_reproduce.report.scores import SHOWN, score_cases

PIXELS = 12


def partly_right(right):
    """Give an image of which so many of 12 pixels of class 1 are found."""
    truth = np.ones((3, 4), int)
    found = (np.arange(PIXELS) < right).reshape(3, 4).astype(int)
    return truth, found


def test_scores_are_those_counted_by_hand():
    truth = np.array([[0, 0, 1, 1], [0, 0, 1, 2]])
    found = np.array([[0, 1, 1, 1], [0, 0, 1, 1]])
    result = score_cases([Case("a", truth, found)])
    (score,) = result.cases
    assert score.accuracy == 6 / 8
    assert score.iou == (3 / 4, 3 / 5, 0.0)
    assert score.dice == (6 / 7, 6 / 8, 0.0)
    assert score.mean_iou == pytest.approx((3 / 4 + 3 / 5) / 3)
    assert result.confusion.tolist() == [[3, 1, 0], [0, 3, 0], [0, 1, 0]]


def test_pixels_that_do_not_count_are_left_out():
    truth, found = np.array([[0, 1]]), np.array([[0, 0]])
    counts = np.array([[True, False]])
    result = score_cases([Case("a", truth, found, None, counts)])
    assert result.cases[0].accuracy == 1
    assert result.confusion.sum() == 1


def test_confusion_adds_images_up_and_makes_room_for_more_classes():
    cases = [
        Case("a", np.array([[0, 1]]), np.array([[1, 1]])),
        Case("b", np.array([[3]]), np.array([[0]])),
    ]
    assert score_cases(cases).confusion.tolist() == [
        [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0],
    ]  # fmt: skip


@given(st.lists(st.integers(1, PIXELS), min_size=1, max_size=15))
def test_the_worst_and_the_best_are_shown_and_none_twice(rights):
    cases = [
        Case(str(number), *partly_right(right)) for number, right in enumerate(rights)
    ]
    result = score_cases(cases)
    worst = [score.mean_iou for score, _ in result.worst]
    best = [score.mean_iou for score, _ in result.best]
    every = sorted(score.mean_iou for score in result.cases)
    assert worst == every[: len(worst)]
    assert best == every[::-1][: len(best)]
    assert len(worst) == min(SHOWN, math.ceil(len(rights) / 2))
    assert len(best) == min(SHOWN, len(rights) // 2)
    names = [score.name for score, _ in [*result.worst, *result.best]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ([], "no image to score"),
        ([Case("a", np.zeros((2, 2)), np.zeros((2, 3)))], r"a: truth of \(2, 2\)"),
        (
            [Case("a", np.eye(2), np.eye(2), None, np.zeros((2, 2), bool))],
            "a: no pixel counts",
        ),
    ],
)
def test_refuses_what_has_no_score(cases, said):
    with pytest.raises(DataError, match=said):
        score_cases(cases)
