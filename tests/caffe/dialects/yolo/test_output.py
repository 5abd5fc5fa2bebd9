"""Boxes of YOLO 2 and 3, beyond the stored answers of the fork."""

import math

import pytest
import torch

from caffe.errors import CheckError
from tests.support.layers import make_layer, run_layer, shapes_of

V2 = """yolo_detection_output_param { num_classes: 2 num_box: 1 biases: 1 biases: 2
  confidence_threshold: 0.4 }"""
V3 = """yolov3_detection_output_param { num_classes: 2 num_box: 1 biases: 8 biases: 16
  mask: 0 anchors_scale: 8 confidence_threshold: 0.3 }"""


def one_box():
    """All but one cell of two by four are sure to hold nothing."""
    x = torch.zeros(1, 7, 2, 4)
    x[:, 4] = -20
    x[0, :, 1, 2] = torch.tensor([0, 0, math.log(2), 0, 20, 0, math.log(3)])
    return x


def test_a_box_of_yolo_2():
    (top,) = run_layer("YoloDetectionOutput", V2, [one_box()])
    # centre (2.5 / 4, 1.5 / 2), size (2 * 1 / 4, 2 / 2), probability 3 / (1 + 3)
    expected = [0, 2, 0.75, 0.375, 0.25, 0.875, 1.25]
    torch.testing.assert_close(top, torch.tensor([[[expected]]]))


def test_a_box_of_yolo_3_comes_with_every_class_that_is_sure():
    (top,) = run_layer("Yolov3DetectionOutput", V3, [one_box()])
    # overlapping with itself, only the surer class of the two is left
    expected = [0, 2, 0.75, 0.375, 0.25, 0.875, 1.25]
    torch.testing.assert_close(top, torch.tensor([[[expected]]]))


@pytest.mark.parametrize(
    ("kind", "options"), [("YoloDetectionOutput", V2), ("Yolov3DetectionOutput", V3)]
)
def test_where_nothing_is_found_each_image_has_a_row_of_minus_1(kind, options):
    x = torch.full((3, 7, 2, 2), -20.0)
    (top,) = run_layer(kind, options, [x])
    assert top[0, 0].tolist() == [[i, *[-1] * 6] for i in range(3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("biases: 1 biases: 2", "mask has 0 values: expected 3"),
        ("mask: 0 mask: 0 mask: 0", "anchors_scale has 0 values: expected 1"),
        ("mask: 0 mask: 0 mask: 1 anchors_scale: 8 biases: 1", "expected 4"),
        ("gaussian_box: true", "gaussian_box"),
    ],
)
def test_missing_numbers_of_yolo_3_are_named(options, message):
    with pytest.raises(CheckError, match=message):
        make_layer(
            "Yolov3DetectionOutput", f"yolov3_detection_output_param {{ {options} }}"
        )


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(CheckError, match="expected 7 channels"):
        shapes_of("YoloDetectionOutput", V2, [(1, 8, 2, 2)])
