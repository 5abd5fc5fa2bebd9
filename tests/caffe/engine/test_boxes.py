"""Overlaps and suppression against the same rules written out box by box."""

import pytest
import torch

from caffe.engine.boxes import first_by_score, overlaps, suppressed
from tests.support.plain_boxes import greedy, some_boxes


def test_overlap_by_hand():
    boxes = torch.tensor([[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 3, 1], [1, 0, 0, 1.0]])
    expected = [[1, 1 / 7, 0, 0], [1 / 7, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    torch.testing.assert_close(overlaps(boxes, boxes), torch.tensor(expected))


def test_overlap_of_pixels_counts_both_ends():
    # 0..1 and 1..2: two pixels each along x, one of them common; three in y
    boxes = torch.tensor([[0, 0, 1, 2], [1, 0, 2, 2], [2.5, 0, 3, 2]])
    both = overlaps(boxes, boxes, 1)
    torch.testing.assert_close(both[0], torch.tensor([1, 1 / 3, 0]))


@pytest.mark.parametrize("threshold", [0, 0.1, 0.45, 0.7, 0.95])
@pytest.mark.parametrize("eta", [1, 0.9, 0.5])
@pytest.mark.parametrize("count", [0, 1, 60, 500])
def test_suppression_is_greedy(threshold, eta, count):
    boxes = some_boxes(count, count)
    kept = suppressed(boxes, threshold, eta).tolist()
    assert kept == greedy(boxes.double().tolist(), threshold, eta)


def test_boxes_of_other_groups_do_not_count():
    boxes, groups = some_boxes(500, 7), torch.arange(500) % 3
    kept = suppressed(boxes, 0.3, groups=groups).tolist()
    expected = []
    for group in range(3):
        own = range(group, 500, 3)
        found = greedy(boxes[own].double().tolist(), 0.3, 1)
        expected += [own[i] for i in found]
    assert kept == sorted(expected)


def test_a_box_exactly_at_the_threshold_stays():
    boxes = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 0.5]])
    assert suppressed(boxes, 0.5).tolist() == [0, 1]
    assert suppressed(boxes, 0.4999).tolist() == [0]


@pytest.mark.parametrize("count", [-1, 0, 1, 3, 7, 9])
def test_of_equal_scores_the_earlier_place_comes_first(count):
    scores = [0.5, 0.9, 0.5, 0.1, 0.9, 0.5, 0.9]
    order = sorted(range(7), key=lambda i: (-scores[i], i))
    expected = order if count < 0 else order[:count]
    assert first_by_score(torch.tensor(scores), count).tolist() == expected


@pytest.mark.parametrize("most", [0, 1, 40, 1000])
def test_no_more_stay_than_are_enough(most):
    boxes = some_boxes(500, 3)
    kept = suppressed(boxes, 0.4, most=most).tolist()
    assert kept == greedy(boxes.double().tolist(), 0.4, 1)[:most]
