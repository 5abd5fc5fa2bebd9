"""Images of a list with images of their classes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.errors import CheckError, FileError

LAYER = """
layer {{ name: "data" type: "DenseImageData" top: "data" top: "label"
  dense_image_data_param {{ source: "list.txt" {options} }}
  transform_param {{ {transform} }} }}
"""


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Two images and their labels; label = red / 10."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(2):
        label = rng.integers(0, 20, (6, 9)).astype(np.uint8)
        image = np.stack([label * 10, label * 0 + 7, label * 0 + number], 2)
        Image.fromarray(image).save(f"i{number}.png")
        Image.fromarray(label).save(f"l{number}.png")
    (tmp_path / "list.txt").write_text("i0.png l0.png\ni1.png l1.png\n")
    return tmp_path


def net(options: str, transform: str = "", phase: int = caffe.TEST) -> caffe.Net:
    text = LAYER.format(options=options, transform=transform)
    return caffe.Net(caffe.parse_net(text), phase)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_images_are_cropped_and_mirrored_with_their_labels(pictures, phase):
    built = net("batch_size: 2 crop_height: 4 crop_width: 5 mirror: true", "", phase)
    seen = set()
    for _ in range(8):
        built.forward()
        label = built.blobs["label"].data
        assert np.array_equal(built.blobs["data"].data[:, 2:], label * 10)
        assert label.shape == (2, 1, 4, 5)
        seen.add(label.tobytes())
    assert len(seen) > 4


def test_labels_keep_their_classes_when_they_are_resized(pictures):
    built = net("batch_size: 1 new_height: 12 new_width: 18", "mean_value: 7 scale: 2")
    built.forward()
    label = np.asarray(Image.open("l0.png")).repeat(2, 0).repeat(2, 1)
    assert np.array_equal(built.blobs["label"].data[0, 0], label)
    assert not built.blobs["data"].data[0, 1].any()


def test_labels_may_be_smaller_than_their_images(pictures):
    built = net("batch_size: 1 new_height: 12 new_width: 18 label_divide_factor: 6")
    built.forward()
    label = np.asarray(Image.open("l0.png"))
    assert np.array_equal(built.blobs["label"].data[0, 0], label[::3, ::3])


@pytest.mark.parametrize(
    ("options", "transform", "message"),
    [
        ("", "", "batch_size is 0"),
        ("batch_size: 1 new_width: 4", "", "new_height is 0 and new_width 4"),
        ("batch_size: 1 crop_width: 4", "", "crop_height is 0 and crop_width 4"),
        ("batch_size: 1", "mirror: true", "transform_param has mirror"),
        ("batch_size: 1 label_divide_factor: 0", "", "label_divide_factor is 0"),
        (
            "batch_size: 1 label_divide_factor: 2 crop_height: 2 crop_width: 2",
            "",
            "give one",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(pictures, options, transform, message):
    with pytest.raises(CheckError, match=message):
        net(options, transform)


def test_an_image_smaller_than_the_crop_is_refused(pictures):
    with pytest.raises(FileError, match=r"i0\.png: has 6 x 9 pixels: expected 7 x 7"):
        net("batch_size: 1 crop_height: 7 crop_width: 7")
