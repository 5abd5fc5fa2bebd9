"""Boxes under crops, and crops drawn by chance."""

import numpy as np
import pytest
from google.protobuf import text_format

from caffe.dialects.ssd.sampling import draw_windows, mirrored, projected
from caffe.errors import CheckError
from caffe.proto import caffe_pb2

ROWS = np.array(
    [[0, 1, 0, 0.1, 0.1, 0.3, 0.3, 0], [0, 2, 0, 0.4, 0.4, 0.8, 1.0, 1]], np.float32
)


def samplers(*texts: str):
    return [text_format.Parse(text, caffe_pb2.BatchSampler()) for text in texts]


def test_boxes_are_told_in_parts_of_the_window_and_cut():
    rows = projected(ROWS, (0.5, 0.5, 1, 1))
    np.testing.assert_allclose(rows, [[0, 2, 0, 0, 0, 0.6, 1, 1]], atol=1e-6)
    assert ROWS[1, 3] == np.float32(0.4)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("emit_type: CENTER", [2]),
        ("emit_type: MIN_OVERLAP emit_overlap: 0.2", [1, 2]),
        ("emit_type: MIN_OVERLAP emit_overlap: 0.3", [2]),
    ],
)
def test_boxes_of_which_too_little_is_inside_are_left_out(text, labels):
    emit = text_format.Parse(text, caffe_pb2.EmitConstraint())
    # (9 / 20)^2 of the first box is inside, and all of the second
    rows = projected(ROWS, (0.21, 0.21, 1, 1), emit)
    assert rows[:, 1].tolist() == labels


def test_a_mirror_swaps_left_and_right():
    rows = mirrored(ROWS)
    np.testing.assert_allclose(rows[:, 3], [0.7, 0.2], atol=1e-6)
    np.testing.assert_allclose(rows[:, 5], [0.9, 0.6], atol=1e-6)
    np.testing.assert_allclose(mirrored(rows), ROWS, atol=1e-6)


def test_without_limits_the_whole_image_is_the_window():
    rng = np.random.default_rng(0)
    windows = draw_windows(ROWS, samplers("max_sample: 1 max_trials: 1"), rng)
    np.testing.assert_allclose(windows, [[0, 0, 1, 1]], atol=1e-6)


def test_windows_meet_the_overlap_that_is_asked_for():
    rng = np.random.default_rng(0)
    text = (
        "sampler { min_scale: 0.3 max_scale: 1 min_aspect_ratio: 0.5 "
        "max_aspect_ratio: 2 } sample_constraint { min_jaccard_overlap: 0.5 } "
        "max_sample: 30 max_trials: 2000"
    )
    windows = draw_windows(ROWS, samplers(text), rng)
    assert len(windows) == 30
    assert windows.min() >= 0
    assert windows.max() <= 1.000001
    for left, top, right, bottom in windows.astype(float):
        best = 0
        for x0, y0, x1, y1 in ROWS[:, 3:7].astype(float):
            width = min(right, x1) - max(left, x0)
            height = min(bottom, y1) - max(top, y0)
            both = max(width, 0) * max(height, 0)
            sizes = (right - left) * (bottom - top) + (x1 - x0) * (y1 - y0)
            best = max(best, both / (sizes - both))
        assert best >= 0.5 - 1e-5


@pytest.mark.parametrize(
    ("limit", "some"),
    [
        ("min_object_coverage: 1", True),
        ("min_sample_coverage: 0.9", True),
        ("max_sample_coverage: 0.01 min_sample_coverage: 0.001", True),
        ("min_jaccard_overlap: 1.1", False),
    ],
)
def test_other_limits(limit, some):
    text = (
        "sampler { min_scale: 0.1 max_scale: 0.9 } max_sample: 3 max_trials: 500 "
        f"sample_constraint {{ {limit} }}"
    )
    windows = draw_windows(ROWS, samplers(text), np.random.default_rng(1))
    assert len(windows) == (3 if some else 0)


def test_samplers_that_use_no_image_draw_nothing():
    rng = np.random.default_rng(0)
    assert len(draw_windows(ROWS, samplers("use_original_image: false"), rng)) == 0


def test_scales_above_one_are_refused():
    with pytest.raises(CheckError, match="scales"):
        draw_windows(
            ROWS, samplers("sampler { max_scale: 2 }"), np.random.default_rng(0)
        )
