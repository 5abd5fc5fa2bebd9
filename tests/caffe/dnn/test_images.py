"""blobFromImage and its like, beside OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe import dnn
from caffe.errors import CheckError

RNG = np.random.default_rng(11)
IMAGE = RNG.integers(0, 256, (37, 53, 3)).astype(np.uint8)
ULP = 3e-7  # releases of OpenCV differ by the last binary digit of floats


def random_image(kind):
    height, width = RNG.integers(1, 120, 2)
    channels = RNG.choice([1, 3, 4])
    shape = (height, width) if channels == 1 else (height, width, channels)
    return RNG.integers(0, 256, shape).astype(kind)


def random_options():
    width, height = map(int, RNG.integers(1, 150, 2))
    return {
        "scalefactor": float(RNG.choice([1.0, 1 / 255, 0.007843])),
        "size": None if RNG.random() < 0.1 else (width, height),
        "mean": tuple(RNG.uniform(0, 200, RNG.integers(0, 5))),
        "swapRB": bool(RNG.integers(2)),
        "crop": bool(RNG.integers(2)),
    }


@pytest.mark.parametrize("_", range(100))
def test_a_blob_of_bytes_is_opencvs_to_the_bit(_):
    image, options = random_image(np.uint8), random_options()
    ours, theirs = (m.blobFromImage(image, **options) for m in (dnn, cv2.dnn))
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs, str(options))


@pytest.mark.parametrize("_", range(30))
@pytest.mark.parametrize("kind", ["float32", "uint16", "float64"])
def test_a_blob_of_other_numbers_is_opencvs(kind, _):
    image, options = random_image(kind), random_options()
    ours, theirs = (m.blobFromImage(image, **options) for m in (dnn, cv2.dnn))
    largest = 255 * options["scalefactor"]
    # in OpenCV rounding to whole numbers goes either way from the middle
    digit = options["scalefactor"] if kind == "uint16" and options["crop"] else 0
    np.testing.assert_allclose(ours, theirs, 0, ULP * largest + digit, str(options))


@pytest.mark.parametrize("size", [(26, 18), (27, 18), (1, 1), (1, 40), (106, 74)])
def test_halves_and_single_pixels_are_opencvs(size):
    image = IMAGE[:36, :52]
    blob = dnn.blobFromImage(image, size=size)[0].transpose(1, 2, 0)
    assert (blob == cv2.resize(image, size)).all()


def test_one_number_as_mean_is_of_the_first_channel():
    ours, theirs = (m.blobFromImage(IMAGE, 1.0, None, 5) for m in (dnn, cv2.dnn))
    np.testing.assert_array_equal(ours, theirs)


def test_views_of_images_are_taken_as_they_are_seen():
    view = IMAGE[::-2, 3:40:3, ::-1]
    ours = dnn.blobFromImage(view, 0.5, (9, 8))
    theirs = cv2.dnn.blobFromImage(np.ascontiguousarray(view), 0.5, (9, 8))
    np.testing.assert_array_equal(ours, theirs)


def test_images_of_several_sizes_get_that_of_the_first():
    images = [IMAGE, IMAGE[:20], IMAGE[:, :31]]
    for size in (None, (9, 8)):
        ours, theirs = (
            m.blobFromImages(images, 0.5, size, (1, 2, 3), True) for m in (dnn, cv2.dnn)
        )
        np.testing.assert_array_equal(ours, theirs)
    stack = np.stack([IMAGE, IMAGE])
    assert dnn.blobFromImages(stack).shape == (2, 3, 37, 53)


def test_bytes_stay_bytes_if_they_are_wanted():
    ours, theirs = (
        m.blobFromImage(IMAGE, size=(20, 9), swapRB=True, ddepth=cv2.CV_8U)
        for m in (dnn, cv2.dnn)
    )
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("image", [IMAGE, IMAGE[:, :, 0]])
def test_images_come_back_out_of_a_blob(image):
    ours, theirs = (m.imagesFromBlob(m.blobFromImage(image)) for m in (dnn, cv2.dnn))
    assert ours[0].shape == theirs[0].shape
    assert (ours[0] == image).all()


def test_the_image_stays_as_it_is():
    image = IMAGE.astype(np.float32)
    dnn.blobFromImage(image, 0.5, None, (1, 2, 3), True)
    assert (image == IMAGE).all()


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (None, {}, r"shape \(\)"),
        (IMAGE[:, :, :2], {}, "of 1, 3 or 4 channels"),
        (IMAGE[:0], {}, r"shape \(0, 53, 3\)"),
        (IMAGE > 5, {}, "is of bool"),
        (IMAGE, {"mean": (1, 2, 3, 4, 5)}, "mean has 5 numbers"),
        (IMAGE, {"size": (0, 4)}, r"size is \(0, 4\)"),
        (IMAGE, {"size": (4.5, 4)}, r"size is \(4.5, 4\)"),
        (IMAGE, {"ddepth": 6}, "ddepth is 6"),
        (IMAGE, {"ddepth": 0, "scalefactor": 0.5}, "neither scale nor mean"),
        (IMAGE.astype(np.int64), {"size": (4, 4)}, "of int64 is to be resized"),
    ],
)
def test_what_is_no_image_is_refused(image, options, message):
    with pytest.raises(CheckError, match=message):
        dnn.blobFromImage(image, **options)


def test_images_of_several_kinds_are_refused():
    with pytest.raises(CheckError, match="3 channels of uint8"):
        dnn.blobFromImages([IMAGE[:, :, 0], IMAGE])
    with pytest.raises(CheckError, match="no images"):
        dnn.blobFromImages([])
    with pytest.raises(CheckError, match="expected"):
        dnn.imagesFromBlob(np.zeros((3, 4, 4), np.float32))
