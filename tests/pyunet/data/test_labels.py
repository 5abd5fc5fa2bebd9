import numpy as np
import pytest
import tifffile
from PIL import Image

from pyunet.data.images import read_stack
from pyunet.data.labels import Labels, interpret_labels, read_labels, select_slices
from pyunet.errors import DataError

CELL = np.pad(np.full((4, 4), 255, np.uint8), ((1, 0), (1, 0)))
GRID = np.tile(CELL, (1, 4, 4))


class TestMasks:
    def test_finds_the_isbi_polarity_and_says_it(self):
        found = interpret_labels(GRID, name="train-labels.tif")
        np.testing.assert_array_equal(found.classes, GRID // 255)
        assert found.sentence == (
            "train-labels.tif: masks, 255 is the inside of cells (class 1, 64.0 % of "
            "pixels), 0 is membrane or background (class 0); 16 cells in 1 slice(s)"
        )

    def test_finds_the_opposite_polarity_and_says_it(self):
        found = interpret_labels(255 - GRID)
        np.testing.assert_array_equal(found.classes, GRID // 255)
        assert "masks, 0 is the inside of cells" in found.sentence

    @pytest.mark.parametrize(("inside", "expected"), [(255, 1), (0, 0)])
    def test_does_what_it_is_told(self, inside, expected):
        found = interpret_labels(GRID, inside=inside)
        assert found.classes[0, 2, 2] == expected

    def test_asks_where_neither_value_falls_apart(self):
        disc = np.hypot(*np.mgrid[-9:10, -9:10]) < 5
        with pytest.raises(DataError, match="say --inside 255 or --inside 0"):
            interpret_labels(np.where(disc, 255, 0)[None])

    def test_parts_cells_that_touch_only_at_a_corner(self):
        corner = np.kron(np.eye(2), np.full((3, 3), 255))[None]
        found = interpret_labels(corner, inside=255)
        assert found.instances[0].max() == 2

    def test_numbers_cells_in_each_slice(self):
        found = interpret_labels(np.concatenate([GRID, GRID]))
        assert found.instances.dtype == np.int32
        assert found.instances.max(axis=(1, 2)).tolist() == [16, 16]

    def test_takes_any_two_values_when_told(self):
        found = interpret_labels(np.where(GRID, 9, 4), kind="binary")
        np.testing.assert_array_equal(found.classes, GRID // 255)

    def test_real_isbi_floats_are_accepted(self):
        np.testing.assert_array_equal(
            interpret_labels(GRID.astype(np.float32)).classes, GRID // 255
        )


class TestClasses:
    def test_takes_0_and_1_as_classes(self):
        found = interpret_labels((GRID // 255).astype(np.uint8))
        assert "2 classes (0: 36.0 %, 1: 64.0 % of pixels)" in found.sentence
        assert found.instances.max() == 16

    def test_finds_several_classes_by_their_scattered_regions(self):
        cells = GRID // 255
        cells[0, :10] *= 2
        found = interpret_labels(cells)
        np.testing.assert_array_equal(found.classes, cells)
        assert found.instances.max() == 16

    def test_refuses_gaps(self):
        with pytest.raises(DataError, match=r"classes 0, 255; expected 0, 1"):
            interpret_labels(GRID, kind="classes")


class TestInstances:
    ids = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((5, 5), int))[None]

    def test_finds_cells_numbered_one_by_one(self):
        found = interpret_labels(np.where(GRID, self.ids, 0))
        assert len(np.unique(found.instances)) == 17
        assert "cell instances; 16 cells" in found.sentence

    def test_puts_one_pixel_of_background_between_touching_cells(self):
        row = np.array([[[0, 5, 5, 5, 9, 9, 9, 0]] * 3])
        found = interpret_labels(row, kind="instances")
        assert found.classes[0, 1].tolist() == [0, 1, 1, 1, 0, 1, 1, 0]
        assert found.instances[0, 1].tolist() == [0, 1, 1, 1, 0, 2, 2, 0]

    def test_takes_more_than_65535_numbers(self):
        found = interpret_labels(np.where(GRID, self.ids * 100_000, 0))
        assert found.instances.max() == 16

    def test_needs_no_background(self):
        found = interpret_labels(self.ids, kind="instances")
        assert found.instances.max() == 16
        assert found.classes.min() == 0


class TestRefuses:
    def test_a_constant(self):
        with pytest.raises(DataError, match=r"every pixel is 255"):
            interpret_labels(np.full((1, 4, 4), 255))

    def test_fractions(self):
        with pytest.raises(DataError, match="have fractions"):
            interpret_labels(np.full((1, 4, 4), 0.5))

    def test_negative_numbers(self):
        with pytest.raises(DataError, match="down to -1"):
            interpret_labels(np.array([[[-1, 0]]]))

    def test_to_guess_between_classes_and_cells(self):
        with pytest.raises(DataError, match=r"\(0, 1, 2\).*--labels-are binary, cla"):
            interpret_labels(np.array([[[0, 1, 1, 0, 2, 2, 0]]]))

    def test_more_than_two_values_as_masks(self):
        with pytest.raises(DataError, match="3 values; binary labels have exactly two"):
            interpret_labels(np.array([[[0, 1, 2]]]), kind="binary")

    @pytest.mark.parametrize("shape", [(2, 20, 20), (1, 20, 19)])
    def test_labels_that_do_not_match_the_images(self, tmp_path, shape):
        tifffile.imwrite(tmp_path / "i.tif", np.zeros(shape, np.uint8))
        tifffile.imwrite(tmp_path / "l.tif", GRID)
        with pytest.raises(DataError, match=r"l\.tif: 1 labels of 20 x 20.*i\.tif"):
            read_labels(tmp_path / "l.tif", images=read_stack(tmp_path / "i.tif"))

    def test_coloured_labels(self, tmp_path):
        colour = np.stack([GRID[0], GRID[0], 0 * GRID[0]], axis=-1)
        Image.fromarray(colour).save(tmp_path / "l.png")
        with pytest.raises(DataError, match=r"l\.png: labels with 3 different colour"):
            read_labels(tmp_path / "l.png")


def test_grey_labels_stored_as_colour_are_read(tmp_path):
    Image.fromarray(np.stack([GRID[0]] * 3, axis=-1)).save(tmp_path / "l.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "l.png").classes, GRID // 255)


def test_slices_beyond_the_stack_are_refused():
    labels = Labels(np.zeros((3, 1, 1), "u1"), np.zeros((3, 1, 1), "i4"), "")
    with pytest.raises(DataError, match="slices 1:4 of a stack that has slices 0:3"):
        select_slices(labels, slice(1, 4))


def test_labels_of_volumes_hang_together_in_depth(tmp_path):
    volume = np.zeros((4, 12, 12), np.uint8)
    volume[:3, 1:5, 1:5] = 1
    volume[1:, 7:11, 7:11] = 1
    tifffile.imwrite(tmp_path / "v.tif", volume, photometric="minisblack")
    labels = read_labels(tmp_path / "v.tif", volume=True)
    assert labels.classes.shape == labels.instances.shape == (1, 4, 12, 12)
    assert labels.instances.max() == 2
    assert labels.sentence.endswith("2 cells in 1 volume(s)")
    assert select_slices(labels, slice(1, 3)).classes.shape == (1, 2, 12, 12)
    with pytest.raises(DataError, match="slices 2:9 of a stack that has slices 0:4"):
        select_slices(labels, slice(2, 9))
