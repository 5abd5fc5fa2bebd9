import numpy as np
import pytest
from scipy.ndimage import generate_binary_structure
from skimage import measure

from pyunet.errors import DataError
from pyunet_fiji.finetuning.annotations import Annotation, label_marks

NAMES = ("Background", "a", "b")


def drawn(mask, *, dimensions=2, names=NAMES, **settings):
    mask = np.asarray(mask)
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    return label_marks(mask, **settings).drawn(mask.shape, dimensions, names)


class TestClasses:
    def test_are_taken_as_the_plugin_numbers_them(self):
        annotation = drawn([[0, 1, 2, 3]])
        assert annotation.classes.tolist() == [[[0, 1, 2, 3]]]
        assert annotation.classes.dtype == np.uint8
        assert annotation.instances.dtype == np.int32

    @pytest.mark.parametrize("dimensions", [2, 3])
    def test_have_an_instance_for_each_region_that_meets_in_faces(self, dimensions):
        mask = np.random.default_rng(0).integers(1, 4, (2, 4, 9, 9))
        annotation = drawn(mask, dimensions=dimensions)
        frames = mask if dimensions == 3 else mask.reshape(-1, 9, 9)
        for number, frame in enumerate(frames):
            for label in (2, 3):
                ours = annotation.instances[number, label - 2]
                theirs = measure.label(frame == label, connectivity=1)
                pairs = {*zip(ours.ravel(), theirs.ravel(), strict=True)}
                assert len(pairs) == theirs.max() + 1 == ours.max() + 1
        assert generate_binary_structure(2, 1).sum() == 5

    def test_that_touch_at_a_corner_are_two_instances(self):
        instances = drawn([[2, 1], [1, 2]]).instances[0, 0]
        assert instances.tolist() == [[1, 0], [0, 2]]


class TestInstances:
    def test_are_numbers_of_one_class(self):
        annotation = drawn([[0, 1, 7, 7, 2]], kind="instances")
        assert annotation.classes.tolist() == [[[0, 1, 2, 2, 2]]]
        assert annotation.instances.tolist() == [[[[0, 0, 7, 7, 2]], [[0, 0, 0, 0, 0]]]]

    def test_may_be_more_than_a_byte_holds(self):
        annotation = drawn([[1, 70000]], kind="instances")
        assert annotation.instances[0, 0].tolist() == [[0, 70000]]


class TestZeroAsBackground:
    def test_starts_classes_at_1(self):
        assert drawn([[0, 1, 2]], zero="background").classes.tolist() == [[[1, 2, 3]]]

    def test_starts_instances_at_1(self):
        annotation = drawn([[0, 1, 5]], kind="instances", zero="background")
        assert annotation.classes.tolist() == [[[1, 2, 2]]]
        assert annotation.instances[0, 0].tolist() == [[0, 2, 6]]

    def test_understands_black_and_white(self):
        assert drawn([[0, 255]], zero="background").classes.tolist() == [[[1, 2]]]

    def test_may_be_everywhere(self):
        assert drawn([[0, 0]], zero="background").classes.tolist() == [[[1, 1]]]


class TestRefused:
    @pytest.mark.parametrize("bad", [-1, 1.5, np.nan, np.inf])
    def test_labels_that_are_no_counting_numbers(self, bad):
        with pytest.raises(DataError, match=r"^m: accepted labels are whole numbers"):
            label_marks(np.array([[[[2, bad]]]]), name="m")

    def test_labels_that_seem_to_start_at_background(self):
        with pytest.raises(DataError, match="0 must be called background"):
            label_marks(np.array([[[[0, 1]]]]))

    def test_more_classes_than_a_byte_holds(self):
        with pytest.raises(DataError, match="labels up to 256; accepted are at most"):
            label_marks(np.array([[[[1, 256]]]]))

    def test_a_class_without_a_name(self):
        with pytest.raises(DataError, match="2 classes, but the names are Bg, cell"):
            drawn([[1, 3]], names=("Bg", "cell"))

    def test_another_size_than_the_image(self):
        marks = label_marks(np.ones((1, 1, 3, 4), int))
        with pytest.raises(DataError, match="accepted is the same size"):
            marks.drawn((1, 1, 3, 5), 2, NAMES)


def test_slices_of_labels_may_be_frames_of_the_image():
    marks = label_marks(np.arange(1, 4).reshape(1, 3, 1, 1))
    assert marks.drawn((3, 1, 1, 1), 3, NAMES).classes.shape == (3, 1, 1, 1)


def test_an_annotation_is_rescaled_to_the_nearest_pixel():
    annotation = Annotation(
        np.array([[[1, 2, 3]]], np.uint8), np.array([[[[0, 4, 0]]]], np.int32)
    ).rescaled((0.5, 0.5), (0.5, 0.25))
    assert annotation.classes.tolist() == [[[1, 2, 2, 3, 3, 2]]]
    assert annotation.instances.tolist() == [[[[0, 4, 4, 0, 0, 4]]]]
