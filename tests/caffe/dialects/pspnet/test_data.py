"""Images of a list with the classes of their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.errors import CheckError, FileError

LAYER = """
layer {{ name: "data" type: "ImageSegData" top: "data" top: "label" top: "data_dim"
  image_data_param {{ source: "list.txt" {options} }}
  transform_param {{ {transform} }} }}
"""


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Two images and their labels, the second smaller; label = red / 10."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate(((6, 9), (4, 5))):
        label = rng.integers(0, 20, (height, width)).astype(np.uint8)
        image = np.stack([label * 10, label * 0 + 7, label * 0 + number], 2)
        Image.fromarray(image).save(f"i{number}.png")
        Image.fromarray(label).save(f"l{number}.png")
    (tmp_path / "list.txt").write_text("i0.png l0.png\n\ni1.png l1.png\n")
    return tmp_path


def net(options: str, transform: str = "", phase: int = caffe.TEST) -> caffe.Net:
    text = LAYER.format(options=options, transform=transform)
    return caffe.Net(caffe.parse_net(text), phase)


def forward(built: caffe.Net) -> list[np.ndarray]:
    built.forward()
    return [built.blobs[name].data.copy() for name in ("data", "label", "data_dim")]


def test_a_small_image_is_filled_up_below_and_to_the_right(pictures):
    built = net(
        "batch_size: 2 label_type: PIXEL ignore_label: 77",
        "crop_height: 6 crop_width: 8 mean_value: 1 mean_value: 2 mean_value: 3",
    )
    data, label, extent = forward(built)
    small = np.asarray(Image.open("l1.png"))
    assert np.array_equal(label[1, 0, :4, :5], small)
    assert set(label[1, 0, 4:].ravel()) == set(label[1, 0, :, 5:].ravel()) == {77}
    assert np.array_equal(data[1, 2, :4, :5], small * 10.0 - 3)
    assert not data[1, :, 4:].any()
    assert extent.tolist() == [[[[6, 8]]], [[[4, 5]]]]


def test_images_are_cropped_and_mirrored_with_their_labels(pictures):
    built = net(
        "batch_size: 2 label_type: PIXEL shuffle: true",
        "crop_size: 4 mirror: true",
        caffe.TRAIN,
    )
    seen = set()
    for _ in range(8):
        data, label, _ = forward(built)
        assert np.array_equal(data[:, 2:], label * 10)
        seen.add(label.tobytes())
    assert len(seen) > 2


def test_scaled_images_keep_the_classes_of_their_labels(pictures):
    (pictures / "list.txt").write_text("i0.png l0.png\n")
    built = net("batch_size: 1 label_type: PIXEL", "scale_factors: 2", caffe.TRAIN)
    data, label, extent = forward(built)
    assert data.shape == (1, 3, 12, 18)
    assert set(label.ravel()) == set(np.asarray(Image.open("l0.png")).ravel())
    assert extent.ravel().tolist() == [6, 9]


def test_a_number_is_the_label_of_all_pixels(pictures):
    (pictures / "list.txt").write_text("i0.png 3\ni1.png 4\n")
    built = net("batch_size: 1")
    labels = [set(forward(built)[1].ravel()) for _ in range(3)]
    assert labels == [{3}, {4}, {3}]


def test_without_labels_all_pixels_are_ignored(pictures):
    (pictures / "list.txt").write_text("i0.png\n")
    assert set(forward(net("batch_size: 1 label_type: NONE"))[1].ravel()) == {255}


def test_images_alone_are_read_for_deeplab_v1(pictures):
    (pictures / "list.txt").write_text("i0.png\n")
    text = LAYER.format(options="batch_size: 1 has_label: false", transform="")
    text = text.replace(' top: "label" top: "data_dim"', "")
    built = caffe.Net(caffe.parse_net(text), caffe.TEST)
    assert built.forward()["data"].shape == (1, 3, 6, 9)


@pytest.mark.parametrize(
    ("options", "transform", "message"),
    [
        ("batch_size: 0", "", "batch_size is 0"),
        ("batch_size: 1 new_height: 4", "", "new_height is 4 and new_width 0"),
        ("batch_size: 1", "crop_height: 4", "crop_height is 4 and crop_width 0"),
        ("batch_size: 1", "crop_size: 3 crop_height: 4 crop_width: 4", "give one"),
        ("batch_size: 1", 'mean_file: "m"', "mean_value only"),
        ("batch_size: 1", "mean_value: 1 mean_value: 2", "2 values"),
        ("batch_size: 1", "scale_factors: 0", "scale_factors has 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(pictures, options, transform, message):
    with pytest.raises(CheckError, match=message):
        net(options, transform)


def test_images_of_one_batch_need_one_size(pictures):
    with pytest.raises(FileError, match=r"i1\.png: an image of shape .* crop_size"):
        net("batch_size: 2 label_type: PIXEL")


def test_a_label_of_another_size_than_its_image_is_refused(pictures):
    (pictures / "list.txt").write_text("i0.png l1.png\n")
    with pytest.raises(FileError, match=r"l1\.png: has 4 x 5 pixels: expected 6 x 9"):
        net("batch_size: 1 label_type: PIXEL")


def test_a_line_without_a_label_is_named(pictures):
    (pictures / "list.txt").write_text("i0.png l0.png\ni1.png\n")
    with pytest.raises(FileError, match=r"line 2 is 'i1\.png'"):
        net("batch_size: 1 label_type: PIXEL")
