import numpy as np
import pytest
import tifffile
from PIL import Image

from pyunet.errors import DataError
from pyunet_fiji.finetuning.images import read_hyperstack, to_frames, to_model_input
from tests.support.modeldefs import definition


def write(path, array, axes, **changes):
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": axes}, **changes)
    return path


def numbered(*shape):
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


class TestReadHyperstack:
    @pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "CYX", "TZYX", "TZCYX"])
    def test_tells_frames_channels_and_slices_apart(self, tmp_path, axes):
        sizes = {"T": 3, "Z": 4, "C": 2, "Y": 5, "X": 6}
        array = numbered(*(sizes[axis] for axis in axes))
        image = read_hyperstack(write(tmp_path / "a.tif", array, axes))
        where = tuple(slice(None) if axis in axes else None for axis in "TZCYX")
        np.testing.assert_array_equal(image.array, array[where].swapaxes(1, 2))
        assert image.stack_channels == (2 if "C" in axes else 1)

    def test_takes_pages_without_meaning_for_slices(self, tmp_path):
        tifffile.imwrite(
            tmp_path / "a.tif", numbered(4, 5, 6), photometric="minisblack"
        )
        assert read_hyperstack(tmp_path / "a.tif").array.shape == (1, 1, 4, 5, 6)

    def test_turns_slices_before_frames_around(self, tmp_path):
        array = numbered(4, 3, 5, 6)
        tifffile.imwrite(
            tmp_path / "a.ome.tif", array, metadata={"axes": "ZTYX"}, ome=True
        )
        image = read_hyperstack(tmp_path / "a.ome.tif")
        np.testing.assert_array_equal(image.array[:, 0], array.swapaxes(0, 1))

    def test_gives_colours_as_three_channels(self, tmp_path):
        array = numbered(5, 6, 3).astype(np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
        image = read_hyperstack(tmp_path / "a.tif")
        np.testing.assert_array_equal(image.array[0, :, 0], np.moveaxis(array, -1, 0))
        assert image.stack_channels == 1

    def test_gives_8_bit_colour_its_colours_but_labels_their_numbers(self, tmp_path):
        palette = np.zeros((3, 256), np.uint16)
        palette[1] = np.arange(256) << 8  # green
        tifffile.imwrite(
            tmp_path / "a.tif", np.array([[0, 7, 9]], np.uint8), colormap=palette
        )
        image = read_hyperstack(tmp_path / "a.tif").array
        assert image[0, :, 0, 0].tolist() == [[0, 0, 0], [0, 7, 9], [0, 0, 0]]
        labels = read_hyperstack(tmp_path / "a.tif", labels=True).array
        assert labels.tolist() == [[[[[0, 7, 9]]]]]

    def test_leaves_a_grey_palette_alone(self, tmp_path):
        palette = np.tile(np.arange(256, dtype=np.uint16) << 8, (3, 1))
        tifffile.imwrite(
            tmp_path / "a.tif", np.array([[0, 7, 9]], np.uint8), colormap=palette
        )
        assert read_hyperstack(tmp_path / "a.tif").array.shape == (1, 1, 1, 1, 3)

    def test_reads_pictures(self, tmp_path):
        Image.new("L", (4, 3), 9).save(tmp_path / "a.png")
        assert read_hyperstack(tmp_path / "a.png").array.shape == (1, 1, 1, 3, 4)

    def test_reads_pages_that_tifffile_keeps_apart(self, tmp_path):
        with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
            for kind in ("u1", "u2"):
                tiff.write(np.zeros((3, 4), kind))
        assert read_hyperstack(tmp_path / "a.tif").array.shape == (1, 1, 2, 3, 4)

    def test_finds_the_size_of_a_pixel(self, tmp_path):
        file = write(tmp_path / "a.tif", numbered(5, 6), "YX", resolution=(4, 2))
        resolution = read_hyperstack(file).resolution
        assert (resolution.x, resolution.y) == (4, 2)

    def test_of_no_image_is_an_error(self, tmp_path):
        (tmp_path / "a.tif").write_bytes(b"no image")
        with pytest.raises(DataError, match=r"a\.tif: is no TIFF image"):
            read_hyperstack(tmp_path / "a.tif")


class TestToFrames:
    def test_each_slice_becomes_a_frame_of_a_2_d_net(self):
        array = numbered(2, 3, 4, 5, 6)
        frames = to_frames(array, 2)
        assert frames.shape == (8, 3, 5, 6)
        for time in range(2):
            for z in range(4):
                np.testing.assert_array_equal(frames[4 * time + z], array[time, :, z])

    def test_a_3_d_net_takes_the_stack_as_it_is(self):
        array = numbered(2, 3, 4, 5, 6)
        np.testing.assert_array_equal(to_frames(array, 3), array)


class TestToModelInput:
    def test_rescales_and_normalises_each_frame(self, tmp_path):
        array = np.stack([numbered(4, 6), 5 * numbered(4, 6) + 3])
        image = read_hyperstack(write(tmp_path / "a.tif", array, "ZYX"))
        data = to_model_input(image, definition(), (0.25, 0.25))
        halved = numbered(4, 6)[::2, ::2] / numbered(4, 6)[::2, ::2].max()
        assert data.shape == (2, 1, 2, 3)
        np.testing.assert_allclose(data[0, 0], halved, rtol=1e-6)
        np.testing.assert_allclose(data[1, 0], halved, rtol=1e-5)

    def test_of_a_single_slice_is_an_error_for_a_3_d_net(self, tmp_path):
        image = read_hyperstack(write(tmp_path / "a.tif", numbered(4, 6), "YX"))
        with pytest.raises(DataError, match=r"a\.tif: has a single slice"):
            to_model_input(image, definition(axes=3), (0.5, 0.5, 0.5))

    def test_names_the_file_of_an_image_that_becomes_too_small(self, tmp_path):
        image = read_hyperstack(write(tmp_path / "a.tif", numbered(4, 6), "YX"))
        with pytest.raises(DataError, match=r"a\.tif: an image of 4x6 pixels has none"):
            to_model_input(image, definition(), (0.01, 0.01))

    def test_names_the_file_of_an_image_that_is_constant(self, tmp_path):
        flat = np.full((4, 6), 7, np.uint8)
        image = read_hyperstack(write(tmp_path / "a.tif", flat, "YX"))
        with pytest.raises(DataError, match=r"a\.tif, frame 1: the grey value is 7"):
            to_model_input(image, definition(), (0.5, 0.5))
