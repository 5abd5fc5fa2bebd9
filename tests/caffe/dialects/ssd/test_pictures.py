"""What is done to pictures, against OpenCV and by hand."""

import numpy as np
import pytest

from caffe.dialects.ssd.colours import from_hsv, to_hsv
from caffe.dialects.ssd.noise import noisy
from caffe.dialects.ssd.pictures import distorted, expanded, resized
from caffe.dialects.ssd.scaling import scaled
from caffe.errors import CheckError
from caffe.proto import caffe_pb2

cv2 = pytest.importorskip("cv2")


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def picture(rng):
    coarse = rng.integers(0, 256, (9, 11, 3), np.uint8)
    return cv2.resize(coarse, (57, 41), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("mode", ["LINEAR", "AREA", "NEAREST", "CUBIC", "LANCZOS4"])
@pytest.mark.parametrize("size", [(20, 30), (90, 100), (41, 20), (13, 101)])
def test_sizes_change_as_with_opencv(picture, mode, size):
    theirs = cv2.resize(
        picture, size[::-1], interpolation=getattr(cv2, f"INTER_{mode}")
    )
    ours = scaled(picture, *size, mode)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_hue_saturation_and_value_are_opencvs(rng):
    colours = rng.integers(0, 256, (50, 50, 3), np.uint8)
    theirs = cv2.cvtColor(colours, cv2.COLOR_BGR2HSV)
    assert np.abs(to_hsv(colours).astype(int) - theirs).max() <= 1
    back = cv2.cvtColor(theirs, cv2.COLOR_HSV2BGR)
    assert np.abs(from_hsv(theirs).astype(int) - back).max() <= 1


def resize(**options):
    return caffe_pb2.ResizeParameter(**options)


def test_a_wide_picture_is_padded_above_and_below(rng):
    white = np.full((10, 40, 3), 255, np.uint8)
    options = resize(
        resize_mode="FIT_LARGE_SIZE_AND_PAD", height=21, width=20, pad_value=[1, 2, 3]
    )
    top = resized(white, options, rng)
    assert top.shape == (21, 20, 3)
    assert (top[8:13] == 255).all()
    assert (top[:8] == [1, 2, 3]).all()
    assert (top[13:] == [1, 2, 3]).all()


@pytest.mark.parametrize(
    ("shape", "size"), [((10, 40), (20, 80)), ((40, 10), (80, 20))]
)
def test_the_smaller_side_is_brought_to_the_size(shape, size, rng):
    options = resize(resize_mode="FIT_SMALL_SIZE", height=20, width=20)
    top = resized(np.zeros((*shape, 1), np.uint8), options, rng)
    assert top.shape == (*size, 1)


def test_a_resize_without_size_is_refused(rng):
    with pytest.raises(CheckError, match="height 0 and width 5"):
        resized(np.zeros((4, 4, 3), np.uint8), resize(width=5), rng)


def test_a_larger_picture_holds_the_old_one_where_its_window_says(rng):
    old = np.full((10, 20, 3), 200, np.uint8)
    larger, window = expanded(old, 2.5, [1, 2, 3], rng)
    assert larger.shape == (25, 50, 3)
    assert (larger == 200).all(2).sum() == 200
    left, top, right, bottom = np.rint(window * [20, 10, 20, 10]).astype(int)
    assert (larger[-top : 10 - top, -left : 20 - left] == 200).all()
    assert (right - left, bottom - top) == (50, 25)
    assert (larger[larger[..., 0] != 200] == [1, 2, 3]).all()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[10, 100, 250]]),
        (
            {"contrast_prob": 1, "contrast_lower": 0.5, "contrast_upper": 0.5},
            [[5, 50, 125]],
        ),
        ({"saturation_prob": 1}, [[250, 250, 250]]),
    ],
)
def test_colours_are_distorted_as_asked(options, expected, rng):
    pixel = np.array([[[10, 100, 250]]], np.uint8)
    param = caffe_pb2.DistortionParameter(**options)
    assert distorted(pixel, param, rng)[0].tolist() == expected


def test_brightness_stays_within_its_limits(rng):
    param = caffe_pb2.DistortionParameter(brightness_prob=1, brightness_delta=32)
    grey = np.full((1, 1, 3), 100, np.uint8)
    found = {int(distorted(grey, param, rng)[0, 0, 0]) for _ in range(300)}
    assert min(found) >= 68
    assert max(found) <= 132
    assert len(found) > 40


def noise(picture, rng, **options):
    return noisy(picture, caffe_pb2.NoiseParameter(**options), rng)


def test_noise_is_opencvs(picture, rng):
    pairs = [
        ({"gauss_blur": True}, cv2.GaussianBlur(picture, (7, 7), 1.5)),
        ({"inverse": True}, 255 - picture),
        ({"erode": True}, cv2.erode(picture, cv2.getStructuringElement(2, (3, 3)))),
        ({"decolorize": True}, cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None]),
        ({"convert_to_hsv": True}, cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)),
    ]
    for options, theirs in pairs:
        ours = noise(picture, rng, **options)
        assert np.abs(ours.astype(int) - theirs).max() <= 1, options
    grey = picture[:, :, :1].copy()
    equal = noise(grey, rng, hist_eq=True)[:, :, 0].astype(int)
    assert np.abs(equal - cv2.equalizeHist(grey)).max() <= 1


def test_a_part_of_the_pixels_is_sprinkled(rng):
    black = np.zeros((20, 20, 3), np.uint8)
    top = noise(
        black, rng, saltpepper=True, saltpepper_param={"fraction": 0.1, "value": [9]}
    )
    assert 20 <= (top == 9).all(2).sum() <= 40


def test_other_noise_is_refused(picture, rng):
    with pytest.raises(CheckError, match="clahe"):
        noise(picture, rng, clahe=True)
