import sys
import zipfile

import numpy as np
import pytest
import tifffile

from pyunet.errors import DataError
from pyunet_fiji.finetuning.roi_files import read_overlay

roifile = pytest.importorskip("roifile")


def roi(name, **changes):
    return roifile.ImagejRoi.frompoints([[1, 1], [3, 1], [3, 3]], name=name, **changes)


def image(path, overlays):
    metadata = {"Overlays": overlays} if overlays else None
    tifffile.imwrite(path, np.zeros((4, 4), np.uint8), imagej=True, metadata=metadata)
    return path


def names(overlay):
    return [each.name for each in overlay.rois]


def test_an_overlay_keeps_the_order_of_its_rois(tmp_path):
    overlays = [roi(name).tobytes() for name in ("b", "a", "c")]
    assert names(read_overlay(image(tmp_path / "i.tif", overlays))) == ["b", "a", "c"]


def test_an_overlay_may_hold_one_roi(tmp_path):
    assert names(read_overlay(image(tmp_path / "i.tif", roi("a").tobytes()))) == ["a"]


def test_a_roi_file_holds_one_roi(tmp_path):
    roi("a").tofile(tmp_path / "x.roi")
    assert names(read_overlay(tmp_path / "x.roi")) == ["a"]


def test_a_zip_file_holds_many_and_may_hold_other_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("2.roi", roi("b").tobytes())
        archive.writestr("readme.txt", "no ROI")
        archive.writestr("1.roi", roi("a").tobytes())
    assert names(read_overlay(tmp_path / "x.zip")) == ["b", "a"]


def test_images_without_overlay_have_none(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((4, 4), np.uint8))
    assert read_overlay(tmp_path / "plain.tif") is None
    assert read_overlay(image(tmp_path / "imagej.tif", [])) is None
    assert read_overlay(tmp_path / "picture.png") is None


@pytest.mark.parametrize("classes", range(3, 17))
def test_numbers_that_imagej_stretched_come_back(tmp_path, picture_roi, classes):
    labels = np.arange(classes)[None]
    stretched = (labels * (256 / classes)).astype(np.uint8)
    overlay = read_overlay(image(tmp_path / "i.tif", [picture_roi(stretched)]))
    assert overlay.rois == ()
    np.testing.assert_array_equal(overlay.picture, labels[None, None])


def test_numbers_that_were_not_stretched_stay(tmp_path, picture_roi):
    for labels in ([[0, 1, 2, 3]], [[1, 2, 40]]):
        found = read_overlay(image(tmp_path / "i.tif", [picture_roi(np.uint8(labels))]))
        assert found.picture.tolist() == [[labels]]


def test_numbers_of_16_bit_pictures_stay(tmp_path, picture_roi):
    overlays = [picture_roi(np.uint16([[0, 64, 128]]))]
    found = read_overlay(image(tmp_path / "i.tif", overlays))
    assert found.picture.tolist() == [[[[0, 64, 128]]]]


def test_pictures_of_slices_are_put_in_their_order(tmp_path, picture_roi):
    overlays = [
        picture_roi(np.uint8([[number, 1]]), position=number) for number in (3, 1, 2)
    ]
    found = read_overlay(image(tmp_path / "i.tif", overlays))
    assert found.picture[0, :, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("second", [np.zeros((2, 2), "u1"), np.zeros((1, 3, 3), "u1")])
def test_pictures_that_are_no_stack_are_an_error(tmp_path, picture_roi, second):
    overlays = [picture_roi(np.zeros((1, 3), "u1")), picture_roi(second)]
    with pytest.raises(DataError, match="expected grey ones of one size"):
        read_overlay(image(tmp_path / "i.tif", overlays))


def test_a_picture_beside_areas_is_an_error(tmp_path, picture_roi):
    overlays = [picture_roi(np.zeros((4, 4), "u1")), roi("a").tobytes()]
    with pytest.raises(DataError, match=r"1 picture\(s\) .* beside 1 other ROI"):
        read_overlay(image(tmp_path / "i.tif", overlays))


def test_a_damaged_picture_is_an_error(tmp_path, picture_roi):
    overlays = [picture_roi(np.zeros((4, 4), "u1"))[:-40]]
    with pytest.raises(DataError, match=r"i\.tif, a picture .*: is cut short"):
        read_overlay(image(tmp_path / "i.tif", overlays))


@pytest.mark.parametrize("name", ["x.roi", "x.zip", "x.tif"])
def test_a_file_that_is_not_there_is_an_error(tmp_path, name):
    with pytest.raises(DataError, match=f"{name}: cannot be read: "):
        read_overlay(tmp_path / name)


@pytest.mark.parametrize("name", ["x.zip", "x.tif"])
def test_a_file_of_another_kind_is_an_error(tmp_path, name):
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=f"{name}: (cannot be read: |is no TIFF)"):
        read_overlay(tmp_path / name)


@pytest.mark.parametrize("length", [4, 30, 66])
def test_a_damaged_roi_is_an_error(tmp_path, length):
    (tmp_path / "x.roi").write_bytes(roi("a").tobytes()[:length])
    with pytest.raises(DataError, match=r"x\.roi: a ROI cannot be read"):
        read_overlay(tmp_path / "x.roi")


def test_a_zip_file_without_roi_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("readme.txt", "no ROI")
    with pytest.raises(DataError, match=r"x\.zip: has no ROI"):
        read_overlay(tmp_path / "x.zip")


def test_without_its_reader_the_error_says_what_to_install(tmp_path, monkeypatch):
    roi("a").tofile(tmp_path / "x.roi")
    monkeypatch.setitem(sys.modules, "roifile", None)
    with pytest.raises(DataError, match=r"pip install pyunet\[fiji\]"):
        read_overlay(tmp_path / "x.roi")
