"""Overlaps and suppression, against loops that say what is meant."""

import pytest
import torch

from caffe.dialects.yolo.boxes import best_ones, overlaps, read_anchors
from caffe.errors import CheckError


def random_boxes(count, size):
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(count, 2, generator=generator)
    return torch.cat([centres, size * torch.rand(count, 2, generator=generator)], 1)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("count", [0, 1, 40, 700])
def test_suppression_is_greedy(count, threshold):
    boxes = random_boxes(count, 0.3)
    hits = overlaps(boxes[:, None], boxes) >= threshold
    kept: list[int] = []
    for i in range(count):
        if not hits[i, kept].any():
            kept.append(i)
    assert best_ones(boxes, threshold).tolist() == kept


def test_a_box_at_the_threshold_goes():
    boxes = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.5, 0.25, 1.0, 0.5]])
    assert best_ones(boxes, 0.5).tolist() == [0]
    assert best_ones(boxes, 0.51).tolist() == [0, 1]


def test_boxes_without_area_overlap_with_nothing():
    nothing = torch.zeros(4)
    assert overlaps(nothing, nothing) == 0


def test_an_anchor_has_two_numbers():
    assert read_anchors([1, 2, 3, 4], 2) == [(1, 2), (3, 4)]
    with pytest.raises(CheckError, match="biases has 3 values: expected 4"):
        read_anchors([1, 2, 3], 2)
