"""Boxes of images that were resized, back in the images' own pixels."""

import pytest
import torch

from caffe.dialects.ssd.pixels import to_pixels
from caffe.proto import caffe_pb2

BOX = torch.tensor([[0.25, 0.25, 0.75, 1.5]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({}, [50, 25, 150, 100]),
        # 200 by 100 in 300 by 300: the image is the middle half along y
        (
            {"resize_mode": "FIT_LARGE_SIZE_AND_PAD", "height": 300, "width": 300},
            [50, 0, 150, 100],
        ),
        (
            {"resize_mode": "FIT_LARGE_SIZE_AND_PAD", "height": 100, "width": 400},
            [0, 25, 200, 100],
        ),
        (
            {"resize_mode": "FIT_SMALL_SIZE", "height_scale": 40, "width_scale": 40},
            [10, 10, 30, 60],
        ),
        ({"resize_mode": "FIT_SMALL_SIZE"}, [50, 25, 150, 100]),
    ],
)
def test_boxes_by_hand(text, expected):
    resize = caffe_pb2.ResizeParameter(**text) if text else None
    assert to_pixels(BOX, 100, 200, resize).tolist() == [pytest.approx(expected)]
