import numpy as np
import pytest
import tifffile
from PIL import Image

from pyunet.errors import DataError
from pyunet_fiji.finetuning.annotations import label_marks
from pyunet_fiji.finetuning.marks import joint_class_names, read_marks
from pyunet_fiji.finetuning.rois import RoiMarks


def test_a_label_image_is_read_with_its_numbers(tmp_path):
    tifffile.imwrite(tmp_path / "l.tif", np.array([[1, 2], [3, 0]], np.uint16))
    marks = read_marks(tmp_path / "l.tif")
    assert marks.mask.tolist() == [[[[1, 2], [3, 0]]]]
    assert (marks.class_count, marks.class_names) == (2, ())


def test_a_palette_picture_is_read_with_its_numbers(tmp_path):
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L").convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "l.png")
    marks = read_marks(tmp_path / "l.png", kind="instances", zero="background")
    assert marks.mask.tolist() == [[[[1, 2, 3]]]]
    assert marks.class_count == 1


def test_equal_channels_count_as_one(tmp_path):
    Image.fromarray(np.full((2, 2, 3), 255, np.uint8)).save(tmp_path / "l.png")
    assert read_marks(tmp_path / "l.png").mask.shape == (1, 1, 2, 2)


def test_coloured_labels_are_an_error(tmp_path):
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)).save(
        tmp_path / "l.png"
    )
    with pytest.raises(DataError, match="labels with 3 different colour channels"):
        read_marks(tmp_path / "l.png")


def test_the_overlay_of_an_image_goes_before_its_grey_values(tmp_path):
    roifile = pytest.importorskip("roifile")
    roi = roifile.ImagejRoi.frompoints([[1, 1], [3, 1], [3, 3]], name="cell")
    tifffile.imwrite(
        tmp_path / "i.tif",
        np.zeros((4, 4), np.uint8),
        imagej=True,
        metadata={"Overlays": [roi.tobytes()]},
    )
    marks = read_marks(tmp_path / "i.tif")
    assert isinstance(marks, RoiMarks)
    assert marks.class_names == ("cell",)


def test_a_picture_in_the_overlay_is_a_label_image(tmp_path, picture_roi):
    labels = np.array([[0, 64, 128]], np.uint8)
    tifffile.imwrite(
        tmp_path / "i.tif",
        np.zeros((1, 3), np.uint8),
        imagej=True,
        metadata={"Overlays": [picture_roi(labels)]},
    )
    assert read_marks(tmp_path / "i.tif").mask.tolist() == [[[[0, 1, 2]]]]


class TestJointClassNames:
    def test_count_up_for_label_images(self):
        two = [label_marks(np.array([[[[1, top]]]])) for top in (2, 4)]
        assert joint_class_names(two) == (
            "Background",
            "Class 1",
            "Class 2",
            "Class 3",
        )

    def test_are_background_and_one_class_at_least(self):
        assert joint_class_names([]) == ("Background", "Class 1")

    def test_follow_the_first_appearance_among_rois(self):
        roifile = pytest.importorskip("roifile")
        names = ["dim#2", "ignore", "bright-1", "dim", "Ignore-2", ""]
        rois = tuple(roifile.ImagejRoi(name=name) for name in names)
        marks = RoiMarks(rois, "a")
        assert marks.class_count == 2
        assert joint_class_names([marks]) == ("Background", "dim", "bright")
        known = joint_class_names([marks], known=("Background", "bright"))
        assert known == ("Background", "bright", "dim")

    def test_of_the_model_come_first(self):
        marks = [label_marks(np.array([[[[1, 2]]]]))]
        known = ("Background", "cell", "rest")
        assert joint_class_names(marks, known=known) == known
