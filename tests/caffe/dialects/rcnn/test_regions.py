"""Layers that pool regions of interest."""

from __future__ import annotations

from math import ceil, floor

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

import caffe
from caffe.errors import CheckError
from caffe.export import to_onnx
from tests.support.layers import (
    check_gradient,
    check_layer,
    make_layer,
    run_layer,
    shapes_of,
)

ROI = "roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.25 }"
PSROI = "psroi_pooling_param { spatial_scale: 0.25 output_dim: 2 group_size: 3 }"
# one pixel; half outside; wholly outside; corners at halves; upside down
REGIONS = np.array(
    [
        [0, 4, 4, 4, 4],
        [1, -20, -8, 17, 30],
        [0, 90, 90, 120, 130],
        [1, 2, 6, 26, 34],
        [0, 30, 20, 10, 4],
        [1, 0, 0, 200, 100],
    ],
    np.float32,
)


def away(value: float) -> int:
    return int(floor(abs(value) + 0.5) * np.sign(value))


def pooled_by_loops(x: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Bin by bin, as the fork's description has it."""
    bins, scale, (height, width) = (3, 2), 0.25, x.shape[2:]
    top = np.zeros((len(regions), x.shape[1], *bins), np.float32)
    for r, region in enumerate(regions):
        x1, y1, x2, y2 = (away(v * scale) for v in region[1:])
        tall, wide = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i in range(bins[0]):
            for j in range(bins[1]):
                top_edge = floor(i * tall / bins[0]) + y1
                bottom_edge = ceil((i + 1) * tall / bins[0]) + y1
                left = floor(j * wide / bins[1]) + x1
                right = ceil((j + 1) * wide / bins[1]) + x1
                rows = slice(*np.clip([top_edge, bottom_edge], 0, height))
                columns = slice(*np.clip([left, right], 0, width))
                part = x[int(region[0]), :, rows, columns]
                if part.size:
                    top[r, :, i, j] = part.max((1, 2))
    return top


def test_every_bin_has_the_largest_of_its_pixels():
    x = np.random.default_rng(3).normal(size=(2, 4, 9, 11)).astype(np.float32)
    (top,) = run_layer("ROIPooling", ROI, [x, REGIONS])
    assert np.array_equal(top.numpy(), pooled_by_loops(x, REGIONS))


def test_opencv_pools_the_same_regions():
    text = """
    layer { name: "x" type: "Input" top: "x"
      input_param { shape { dim: 1 dim: 3 dim: 12 dim: 15 } } }
    layer { name: "rois" type: "Input" top: "rois"
      input_param { shape { dim: 3 dim: 5 } } }
    layer { name: "y" type: "ROIPooling" bottom: "x" bottom: "rois" top: "y" %s }
    """
    x = np.random.default_rng(3).normal(size=(1, 3, 12, 15)).astype(np.float32)
    rois = np.array([[0, 3, 5, 40, 33], [0, 9, 1, 55, 46], [0, 0, 0, 8, 5]], np.float32)
    theirs = cv2.dnn.readNetFromCaffe(bytearray((text % ROI).encode()))
    theirs.setInput(x, "x")
    theirs.setInput(rois, "rois")
    (ours,) = run_layer("ROIPooling", ROI, [x, rois])
    np.testing.assert_array_equal(theirs.forward(), ours.numpy())


@pytest.mark.parametrize(
    ("kind", "options", "channels", "top"),
    [("ROIPooling", ROI, 5, (6, 5, 3, 2)), ("PSROIPooling", PSROI, 18, (6, 2, 3, 3))],
)
def test_tops_have_a_grid_of_bins_for_each_region(kind, options, channels, top):
    check_layer(kind, options, [(2, channels, 7, 8), REGIONS], [top])
    check_layer(kind, options, [(2, channels, 7, 8), (0, 5)], [(0, *top[1:])])
    regions = REGIONS.reshape(6, 5, 1, 1)
    check_layer(kind, options, [(2, channels, 7, 8), regions], [top])


@pytest.mark.parametrize(
    ("kind", "options", "channels"),
    [("ROIPooling", ROI, 2), ("PSROIPooling", PSROI, 18)],
)
def test_the_gradient_is_the_derivative(kind, options, channels):
    check_gradient(kind, options, [(2, channels, 3, 4), REGIONS[[1, 4, 5]]])


def test_of_equal_values_the_first_gets_the_gradient():
    x = torch.ones(1, 1, 4, 4, requires_grad=True)
    layer = make_layer("ROIPooling", "roi_pooling_param { pooled_h: 1 pooled_w: 1 }")
    (top,) = layer.forward([x, torch.tensor([[0.0, 1, 1, 3, 3]])], [], None)
    top.sum().backward()
    assert x.grad.nonzero().tolist() == [[0, 0, 1, 1]]


def test_position_sensitive_bins_have_channels_of_their_own():
    x = np.repeat(np.arange(18, dtype=np.float32), 48).reshape(1, 18, 6, 8)
    (top,) = run_layer("PSROIPooling", PSROI, [x, np.array([[0, 0, 0, 31, 23]])])
    assert top.flatten().tolist() == list(range(18))


def test_a_corner_that_is_no_number_makes_empty_bins_at_worst():
    regions = np.array([[0, np.nan, 0, 8, np.inf]], np.float32)
    (top,) = run_layer("ROIPooling", ROI, [np.ones((1, 1, 4, 4)), regions])
    assert set(top.flatten().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("number", [-1, 2, np.nan])
def test_a_region_of_an_image_that_is_not_there_is_refused(number):
    regions = np.array([[number, 0, 0, 8, 8]], np.float32)
    with pytest.raises(CheckError, match=r"names image .*: expected 0 to 1"):
        run_layer("ROIPooling", ROI, [(2, 1, 4, 4), regions])


@pytest.mark.parametrize(
    ("kind", "options", "shapes", "message"),
    [
        ("ROIPooling", "", [(1, 1, 4, 4), (1, 5)], "pooled_h is 0"),
        ("ROIPooling", ROI, [(1, 1, 4), (1, 5)], "bottom 0 .* expected 4"),
        ("ROIPooling", ROI, [(1, 1, 4, 4), (1, 4)], r"bottom 1 .* expected \(R,5\)"),
        ("PSROIPooling", PSROI, [(1, 9, 4, 4), (1, 5)], "expected 18 channels"),
        (
            "PSROIPooling",
            "psroi_pooling_param { spatial_scale: 1 output_dim: 1 group_size: 0 }",
            [(1, 9, 4, 4), (1, 5)],
            "group_size is 0",
        ),
    ],
)
def test_bottoms_and_options_that_do_not_fit_are_refused(
    kind, options, shapes, message
):
    with pytest.raises(CheckError, match=message):
        shapes_of(kind, options, shapes)


def test_onnx_runtime_pools_the_same_regions(tmp_path):
    net = caffe.Net(
        caffe.parse_net(
            """
            layer { name: "in" type: "Input" top: "x" top: "rois"
              input_param { shape { dim: 1 dim: 2 dim: 9 dim: 9 }
                            shape { dim: 6 dim: 5 } } }
            layer { name: "y" type: "ROIPooling" bottom: "x" bottom: "rois" top: "y"
              roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 0.25 } }
            """
        ),
        caffe.TEST,
    )
    regions = REGIONS * [0, 1, 1, 1, 1]
    net.blobs["x"].data[...] = np.random.default_rng(1).normal(size=(1, 2, 9, 9))
    net.blobs["rois"].data[...] = regions
    net.forward()
    to_onnx(net, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "net.onnx", providers=["CPUExecutionProvider"]
    )
    feeds = {name: np.array(net.blobs[name].data) for name in net.inputs}
    (top,) = session.run(None, feeds)
    np.testing.assert_array_equal(top, net.blobs["y"].data)
