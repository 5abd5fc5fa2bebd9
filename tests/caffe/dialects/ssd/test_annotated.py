"""Batches of images and boxes, from a database that `convert_annoset` wrote."""

import cv2
import numpy as np
import pytest

import caffe
from caffe.cli.convert_annoset import main

FLAGS = ["-anno_type=detection", "-label_type=txt"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (20, 40, 3), np.uint8)
    for name in ("a", "b"):
        cv2.imwrite(f"in/{name}.png", picture)
    boxes = "2 4 5 20 15\n2 4 5 20 15\n1 4 5 20 15\n"
    (tmp_path / "in" / "a.txt").write_text(boxes)
    (tmp_path / "list.txt").write_text("a.png a.txt\nb.png missing.txt\n")
    return picture


LAYER = """
layer {{ name: "data" type: "AnnotatedData" top: "data" top: "label"
  transform_param {{ {transform} }}
  data_param {{ source: "db" batch_size: 2 backend: LMDB }}
  annotated_data_param {{ {options} }} }}
"""


def batch(transform="", options="", phase=caffe.TEST):
    assert main([*FLAGS, "in/", "list.txt", "db"]) == 0
    text = LAYER.format(transform=transform, options=options)
    net = caffe.Net(caffe.parse_net(text), phase)
    net.forward()
    return net.blobs["data"].data.copy(), net.blobs["label"].data.copy()


def test_a_batch_has_the_images_and_all_their_boxes(folder):
    data, label = batch("mean_value: 100 scale: 0.5")
    expected = (folder.transpose(2, 0, 1) - 100.0) * 0.5
    np.testing.assert_array_equal(data, [expected, expected])
    assert label.shape == (1, 1, 3, 8)
    place = [0.1, 0.25, 0.5, 0.75]
    np.testing.assert_allclose(
        label[0, 0],
        [[0, 2, 0, *place, 0], [0, 2, 1, *place, 0], [0, 1, 0, *place, 0]],
        rtol=1e-6,
    )


def test_boxes_follow_the_crop_and_the_padding():
    _, label = batch("crop_h: 20 crop_w: 20")  # columns 10 to 30 of 40
    np.testing.assert_allclose(label[0, 0, 0, 3:7], [0, 0.25, 0.5, 0.75], atol=1e-6)


def test_boxes_follow_the_padding():
    data, label = batch(
        "resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 40 width: 40 }"
    )
    assert data.shape == (2, 3, 40, 40)
    assert not data[:, :, :10].any()
    np.testing.assert_allclose(label[0, 0, 0, 3:7], [0.1, 0.375, 0.5, 0.625], atol=1e-6)


def test_without_boxes_there_is_one_empty_row():
    with open("list.txt", "w") as file:
        file.write("b.png missing.txt\n")
    _, label = batch()
    assert label.tolist() == [[[[-1] * 8]]]


def test_what_is_drawn_is_the_same_again_from_the_same_seed():
    transform = (
        "mirror: true distort_param { hue_prob: 0.5 hue_delta: 18 } "
        "expand_param { max_expand_ratio: 3 } resize_param { height: 9 width: 9 }"
    )
    caffe.set_random_seed(4)
    data, label = batch(transform, phase=caffe.TRAIN)
    caffe.set_random_seed(4)
    text = LAYER.format(transform=transform, options="")
    net = caffe.Net(caffe.parse_net(text), caffe.TRAIN)
    net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data, data)
    np.testing.assert_array_equal(net.blobs["label"].data, label)
