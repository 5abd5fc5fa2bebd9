"""Boxes against the same rules written out box by box."""

import numpy as np
import pytest
import torch

from caffe.dialects.ssd.boxes import Code
from caffe.dialects.ssd.matching import match
from caffe.proto import caffe_pb2
from tests.support.plain_boxes import overlap, some_boxes

CODES = ["CORNER", "CENTER_SIZE", "CORNER_SIZE"]


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("plain", [False, True])
def test_what_is_encoded_is_decoded(name, plain):
    options = caffe_pb2.MultiBoxLossParameter()
    options.code_type = getattr(caffe_pb2.PriorBoxParameter, name)
    code = Code(options, plain)
    boxes, priors = some_boxes(40, 1), some_boxes(40, 2)
    variances = torch.tensor([0.1, 0.1, 0.2, 0.3]).expand(40, 4)
    again = code.decode(code.encode(boxes, priors, variances), priors, variances)
    torch.testing.assert_close(again, boxes, atol=1e-5, rtol=1e-5)


def test_centre_and_size_by_hand():
    options = caffe_pb2.DetectionOutputParameter()
    options.code_type = caffe_pb2.PriorBoxParameter.CENTER_SIZE
    prior, variance = torch.tensor([[0.2, 0.2, 0.6, 0.4], [0.5, 1, 2, 1]])
    offset = torch.tensor([0.5, -0.5, 0, float(np.log(2))])
    # centre 0.4 + 0.5 * 0.5 * 0.4, 0.3 - 0.5 * 0.2; size 0.4, 0.2 * 2
    expected = torch.tensor([0.3, 0.0, 0.7, 0.4])
    torch.testing.assert_close(
        Code(options, False).decode(offset, prior, variance), expected
    )


def largest_free(shared, matched, pool):
    """Place (box, truth) of the largest overlap that is left, the first of equals."""
    best, place = 1e-6, None
    for i, row in enumerate(shared):
        for j in pool:
            if matched[i] == -1 and row[j] > best:
                best, place = row[j], (i, j)
    return place


def matched_one_by_one(truths, boxes, options):
    """SSD's matching as its description reads."""
    shared = [[overlap(box, truth) for truth in truths] for box in boxes]
    matched = [-1] * len(boxes)
    for i, box in enumerate(boxes):
        inside = all(0 <= v <= 1 for v in box)
        if options.ignore_cross_boundary_bbox and not inside:
            matched[i], shared[i] = -2, [0] * len(truths)
    most = [max((v for v in row if v > 1e-6), default=0) for row in shared]
    pool = list(range(len(truths)))
    while place := largest_free(shared, matched, pool):
        matched[place[0]], most[place[0]] = place[1], shared[place[0]][place[1]]
        pool.remove(place[1])
    if options.match_type == options.PER_PREDICTION:
        for i, row in enumerate(shared):
            if matched[i] == -1 and max(row) >= options.overlap_threshold:
                matched[i] = row.index(max(row))
    return matched, most


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("text", ["BIPARTITE", "PER_PREDICTION"])
@pytest.mark.parametrize("inside", [False, True])
def test_matching_takes_the_largest_overlaps_in_turn(seed, text, inside):
    options = caffe_pb2.MultiBoxLossParameter(overlap_threshold=0.3)
    options.match_type = getattr(options, text)
    options.ignore_cross_boundary_bbox = inside
    truths, boxes = some_boxes(9, seed), some_boxes(50, seed + 10)
    boxes[20] = boxes[10] = truths[3]  # a tie
    truths[5] = truths[3]
    matched, most = match(truths, boxes, options)
    expected, overlap_of = matched_one_by_one(
        truths.double().tolist(), boxes.double().tolist(), options
    )
    assert matched.tolist() == expected
    np.testing.assert_allclose(most, overlap_of, atol=1e-5)


def test_without_true_boxes_nothing_is_matched():
    options = caffe_pb2.MultiBoxLossParameter()
    matched, most = match(torch.zeros(0, 4), some_boxes(3, 0), options)
    assert matched.tolist() == [-1] * 3
    assert most.tolist() == [0] * 3
