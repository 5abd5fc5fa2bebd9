"""Boxes that are proposed, sorted and thinned out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import caffe
from caffe.dialects.rcnn.boxes import overlaps, quicksorted
from caffe.engine.boxes import suppressed
from caffe.errors import CheckError
from tests.support.layers import run_layer, shapes_of

OPTIONS = """proposal_param { ratio: 1 scale: 2 feat_stride: 16 min_size: 4
  pre_nms_topn: 50 post_nms_topn: 5 nms_thresh: 0.5 }"""


def some_boxes(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 800
    sides = torch.rand(count, 2, generator=generator) * 200 + 16
    return torch.cat([corners, corners + sides], 1)


def greedy(boxes: torch.Tensor, threshold: float) -> list[int]:
    """One after the other."""
    kept: list[int] = []
    matrix = overlaps(boxes, boxes).numpy()
    for i in range(len(boxes)):
        if (matrix[kept, i] <= threshold).all():
            kept.append(i)
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_what_a_better_box_overlaps_is_dropped(threshold):
    boxes = some_boxes(700)
    expected = greedy(boxes, threshold)
    for most in (700, 9):
        kept = suppressed(boxes, threshold, most=most, shared=overlaps)
        assert kept.tolist() == expected[:most]


def test_of_no_boxes_none_are_kept():
    none = suppressed(torch.empty(0, 4), 0.5, most=10, shared=overlaps)
    assert none.tolist() == []


def sorted_by_loops(scores: list[float]) -> list[int]:
    """Sort in place, one comparison after the other."""
    order = list(range(len(scores)))

    def sort(start: int, end: int) -> None:
        if start >= end:
            return
        pivot = scores[order[start]]
        left, right = start + 1, end
        while left <= right:
            while left <= end and scores[order[left]] >= pivot:
                left += 1
            while right > start and scores[order[right]] <= pivot:
                right -= 1
            if left < right:
                order[left], order[right] = order[right], order[left]
        order[start], order[right] = order[right], order[start]
        sort(start, right - 1)
        sort(right + 1, end)

    sort(0, len(scores) - 1)
    return order


@pytest.mark.parametrize("kinds", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("count", [0, 1, 2, 17, 150])
def test_equal_scores_lie_as_a_quicksort_leaves_them(count, kinds):
    scores = np.random.default_rng(count).integers(kinds, size=count).astype("f4")
    assert quicksorted(scores, count).tolist() == sorted_by_loops(scores.tolist())


def test_an_anchor_without_offsets_is_where_it_was_put():
    scores = np.zeros((1, 2, 2, 3))
    scores[0, 1, 1, 2] = 0.9
    top, best = run_layer(
        "Proposal",
        OPTIONS,
        [scores, np.zeros((1, 4, 2, 3)), np.array([[200, 300, 1, 1]])],
        tops=2,
    )
    # 32 wide from 7.5 - 15.5 on, moved by 16 (2, 1); no pixel is taken off the far side
    assert top[0].tolist() == [0, 24, 8, 56, 40]
    assert best[0].item() == pytest.approx(0.9)


def test_small_boxes_come_last_with_a_score_of_zero():
    scores = np.ones((1, 2, 1, 2))
    offsets = np.zeros((1, 4, 1, 2))
    offsets[0, 2:, 0, 0] = -3  # a twentieth of its size
    top, best = run_layer(
        "Proposal",
        OPTIONS,
        [scores, offsets, np.array([[100, 100, 1, 1]])],
        tops=2,
    )
    assert best.tolist() == [1, 0]
    assert top[0].tolist() == [0, 8, 0, 40, 24]


@pytest.mark.parametrize(
    ("options", "shapes", "message"),
    [
        ("", [(1, 2, 3, 3), (1, 4, 3, 3), (1, 4)], "no ratio or no scale"),
        (
            "proposal_param { ratio: 0 scale: 1 }",
            [(1, 2, 3, 3), (1, 4, 3, 3), (1, 4)],
            "ratio is 0",
        ),
        (OPTIONS, [(2, 2, 3, 3), (1, 4, 3, 3), (1, 4)], r"expected \(1,2,Y,X\)"),
        (OPTIONS, [(1, 2, 3, 3), (1, 8, 3, 3), (1, 4)], r"expected \(1,4,Y,X\)"),
        (OPTIONS, [(1, 2, 3, 3), (1, 4, 3, 4), (1, 4)], "the same height and width"),
        (OPTIONS, [(1, 2, 3, 3), (1, 4, 3, 3), (1, 3)], r"expected \(1,4\)"),
    ],
)
def test_bottoms_and_options_that_do_not_fit_are_refused(options, shapes, message):
    with pytest.raises(CheckError, match=message):
        shapes_of("Proposal", options, shapes)


def test_the_layers_of_py_faster_rcnn_are_the_users_own(tmp_path, monkeypatch):
    package = tmp_path / "rpn"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "proposal_layer.py").write_text(
        "import caffe\n"
        "class ProposalLayer(caffe.Layer):\n"
        "    def setup(self, bottom, top):\n"
        "        self.stride = eval(self.param_str_)['feat_stride']\n"
        "        top[0].reshape(1, 5)\n"
        "    def reshape(self, bottom, top):\n"
        "        pass\n"
        "    def forward(self, bottom, top):\n"
        "        rows = {'TRAIN': 2, 'TEST': 3}[str(self.phase)]\n"
        "        top[0].reshape(rows, 5)\n"
        "        top[0].data[...] = [0, 0, 0, self.stride, self.stride]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    net = caffe.Net(
        caffe.parse_net(
            """
            layer { name: "in" type: "Input" top: "x"
              input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
            layer { name: "proposal" type: "Python" bottom: "x" top: "rois"
              python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
                             param_str: "{'feat_stride': 16}" } }
            layer { name: "pool" type: "ROIPooling" bottom: "x" bottom: "rois"
              top: "y" roi_pooling_param { pooled_h: 2 pooled_w: 2 } }
            """
        ),
        caffe.TEST,
    )
    net.blobs["x"].data[...] = np.arange(16).reshape(1, 1, 4, 4)
    net.forward()
    assert net.blobs["y"].data.shape == (3, 1, 2, 2)
    assert net.blobs["y"].data.max() == 15
