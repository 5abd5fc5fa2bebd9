"""Pixel sizes of image files."""

import logging

import numpy as np
import pytest
import tifffile

from pyunet.data.images import Resolution, read_image_file
from pyunet.errors import DataError
from pyunet.inference.calibration import find_element_size, frame_count

MODEL = (2.0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("unit", "um"),
    [("micron", 1), ("\u00b5m", 1), ("um", 1), ("nm", 1e-3), ("mm", 1e3)],
)
def test_imagejs_units_count(unit, um):
    size = find_element_size(Resolution(4, 2, unit_name=unit, spacing=3), MODEL)
    assert size == pytest.approx((3 * um, um / 2, um / 4))


def test_an_image_as_imagej_writes_it_is_understood(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.zeros((4, 8, 8), np.uint8),
        imagej=True,
        resolution=(5, 4),
        metadata={"axes": "ZYX", "unit": "\\u00B5m", "spacing": 1.5},
    )
    resolution = read_image_file(tmp_path / "a.tif")[1]
    assert find_element_size(resolution, MODEL) == (1.5, 0.25, 0.2)
    assert find_element_size(resolution, MODEL[1:]) == (0.25, 0.2)


def test_centimetres_of_plain_tiff_count():
    resolution = Resolution(20_000, 40_000, unit=3)
    assert find_element_size(resolution, (1, 1)) == (0.25, 0.5)


@pytest.mark.parametrize(
    "resolution",
    [None, Resolution(72, 72, unit=2), Resolution(1, 1, unit_name="pixel")],
)
def test_without_a_length_the_models_size_is_taken_and_one_line_says_so(
    resolution, caplog
):
    assert find_element_size(resolution, MODEL, name="a.png") == MODEL
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("a.png: does not say how large its pixels are")
    assert "2 x 0.5 x 0.5 um" in line


def test_without_the_distance_of_slices_the_models_is_taken(caplog):
    size = find_element_size(Resolution(4, 4, unit_name="micron"), MODEL)
    assert size == (2.0, 0.25, 0.25)
    assert "how far its slices lie apart" in caplog.text


def test_the_users_word_goes_before_the_files(caplog):
    with caplog.at_level(logging.DEBUG):
        assert find_element_size(None, MODEL, given=[1, 2, 3]) == (1, 2, 3)
    assert caplog.text == ""
    with pytest.raises(DataError, match="element size 1x2: the model has 3 axes"):
        find_element_size(None, MODEL, given=[1, 2])


def test_frames_of_a_file_are_counted(tmp_path):
    for name, axes, shape in (("a", "TZYX", (3, 2, 4, 4)), ("b", "ZYX", (3, 4, 4))):
        tifffile.imwrite(
            tmp_path / f"{name}.tif",
            np.zeros(shape, np.uint8),
            imagej=True,
            metadata={"axes": axes},
        )
    assert frame_count(tmp_path / "a.tif") == 3
    assert frame_count(tmp_path / "b.tif") == 1
    assert frame_count(tmp_path) == 1


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"no TIFF")
    with pytest.raises(DataError, match=r"a\.tif: is no TIFF image"):
        frame_count(tmp_path / "a.tif")
