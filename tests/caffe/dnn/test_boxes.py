"""Non-maximum suppression, beside OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe import dnn
from caffe.errors import CheckError

RNG = np.random.default_rng(5)
BOXES = [[0, 0, 10, 10], [1, 1, 10, 10], [50, 50, 5, 5]]


def random_boxes(case):
    count = int(RNG.integers(1, 150))
    boxes = np.c_[RNG.uniform(0, 50, (count, 2)), RNG.uniform(0, 30, (count, 2))]
    if case % 2:  # so that overlaps are just the threshold here and there
        boxes = boxes.astype(int)
    if case % 5 == 0:
        boxes[: count // 2, 2] = 0
    scores = RNG.permutation(count) / count  # equal ones would come in any order
    options = {
        "score_threshold": 0.2,
        "nms_threshold": float(RNG.choice([0.1, 0.25, 0.45, 0.7])),
        "eta": float(RNG.choice([1.0, 0.9])),
        "top_k": int(RNG.choice([0, 5, 50])),
    }
    return boxes.tolist(), scores.tolist(), options


@pytest.mark.parametrize("case", range(60))
def test_the_same_boxes_stay_as_in_opencv(case):
    boxes, scores, options = random_boxes(case)
    ours, theirs = (m.NMSBoxes(boxes, scores, **options) for m in (dnn, cv2.dnn))
    assert list(ours) == list(theirs)
    labels = RNG.integers(0, 4, len(boxes)).tolist()
    ours, theirs = (
        m.NMSBoxesBatched(boxes, scores, labels, **options) for m in (dnn, cv2.dnn)
    )
    assert list(ours) == list(theirs)


def test_the_result_is_an_array_or_an_empty_tuple():
    kept = dnn.NMSBoxes(np.array(BOXES), np.array([0.8, 0.9, 0.7]), 0.5, 0.4)
    assert kept.dtype == np.int32
    assert kept.tolist() == [1, 2]
    assert dnn.NMSBoxes(BOXES, [0.1, 0.1, 0.1], 0.5, 0.4) == ()
    assert dnn.NMSBoxes([], [], 0.5, 0.4) == ()
    assert dnn.NMSBoxesBatched([], [], [], 0.5, 0.4) == ()


@pytest.mark.parametrize(
    ("scores", "thresholds", "message"),
    [
        ([0.9], (0.5, 0.4), "1 scores are given for 3 boxes"),
        ([0.9] * 3, (-1, 0.4), "score_threshold is -1"),
        ([0.9] * 3, (0.5, -1), "nms_threshold -1"),
    ],
)
def test_what_does_not_fit_is_refused(scores, thresholds, message):
    with pytest.raises(CheckError, match=message):
        dnn.NMSBoxes(BOXES, scores, *thresholds)


def test_each_box_has_a_class():
    with pytest.raises(CheckError, match="2 class_ids are given for 3 boxes"):
        dnn.NMSBoxesBatched(BOXES, [0.9] * 3, [0, 1], 0.5, 0.4)
