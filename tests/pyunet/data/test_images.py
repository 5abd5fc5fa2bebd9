import numpy as np
import pytest
import tifffile
from PIL import Image

from pyunet.data.images import read_stack, read_volumes, to_unit_range
from pyunet.errors import DataError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)


class TestReadStack:
    def test_reads_a_multi_page_tiff_as_slices(self, tmp_path):
        stack = np.stack([GREY, GREY + 1])
        tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
        stack = read_stack(tmp_path / "s.tif")
        assert stack.array.shape == (2, 1, 3, 4)
        assert stack.name == "s"
        np.testing.assert_array_equal(stack.array[1, 0], GREY + 1)

    def test_sorts_a_folder_by_number(self, tmp_path):
        for number in (0, 1, 2, 9, 10, 11):
            tifffile.imwrite(tmp_path / f"{number}.tif", np.full((3, 4), number, "u1"))
        (tmp_path / "SOURCE.txt").write_text("not an image")
        stack = read_stack(tmp_path)
        assert stack.array[:, 0, 0, 0].tolist() == [0, 1, 2, 9, 10, 11]
        assert stack.name == tmp_path.name
        assert [path.name for path in stack.paths][-2:] == ["10.tif", "11.tif"]

    @pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", "i2"])
    def test_keeps_the_type_of_the_file(self, tmp_path, dtype):
        tifffile.imwrite(tmp_path / "a.tif", GREY.astype(dtype))
        assert read_stack(tmp_path / "a.tif").array.dtype == np.dtype(dtype)

    @pytest.mark.parametrize("mode", ["L", "I;16"])
    def test_reads_8_and_16_bit_png(self, tmp_path, mode):
        values = GREY if mode == "L" else GREY.astype(np.uint16) * 5000
        Image.fromarray(values).save(tmp_path / "a.png")
        stack = read_stack(tmp_path / "a.png")
        assert stack.array.dtype == values.dtype
        np.testing.assert_array_equal(stack.array, values[None, None])

    def test_gives_colour_as_three_channels(self, tmp_path):
        colour = np.stack([GREY, GREY + 20, GREY + 40], axis=-1)
        Image.fromarray(colour).save(tmp_path / "a.png")
        tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb")
        for name in ("a.png", "a.tif"):
            array = read_stack(tmp_path / name).array
            assert array.shape == (1, 3, 3, 4)
            np.testing.assert_array_equal(array[0, 1], GREY + 20)

    def test_drops_an_alpha_channel(self, tmp_path):
        rgba = np.stack([GREY, GREY, GREY, np.full_like(GREY, 255)], axis=-1)
        Image.fromarray(rgba).save(tmp_path / "a.png")
        tifffile.imwrite(
            tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"]
        )
        assert read_stack(tmp_path / "a.png").array.shape == (1, 3, 3, 4)
        assert read_stack(tmp_path / "a.tif").array.shape == (1, 3, 3, 4)

    def test_gives_palette_colours_or_numbers(self, tmp_path):
        image = Image.fromarray(GREY % 3).convert("P")
        image.putdata((GREY % 3).ravel().tolist())
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        image.save(tmp_path / "a.png")
        colours = read_stack(tmp_path / "a.png").array
        numbers = read_stack(tmp_path / "a.png", palette_as_index=True).array
        assert colours[0, :, 0, 1].tolist() == [255, 0, 0]
        np.testing.assert_array_equal(numbers[0, 0], GREY % 3)

    def test_gives_a_bilevel_image_as_0_and_255(self, tmp_path):
        Image.fromarray(GREY > 5).save(tmp_path / "a.png")
        tifffile.imwrite(tmp_path / "a.tif", GREY > 5)
        for name in ("a.png", "a.tif"):
            array = read_stack(tmp_path / name).array
            np.testing.assert_array_equal(array[0, 0], np.where(GREY > 5, 255, 0))

    def test_keeps_the_resolution_of_imagej(self, tmp_path):
        tifffile.imwrite(
            tmp_path / "a.tif",
            np.stack([GREY, GREY]),
            imagej=True,
            resolution=(4.0, 2.0),
            metadata={"axes": "ZYX", "unit": "micron", "spacing": 0.5},
        )
        found = read_stack(tmp_path / "a.tif").resolution
        assert (found.x, found.y) == (4.0, 2.0)
        assert (found.unit_name, found.spacing) == ("micron", 0.5)

    def test_has_no_resolution_where_the_file_has_none(self, tmp_path):
        Image.fromarray(GREY).save(tmp_path / "a.png")
        assert read_stack(tmp_path / "a.png").resolution is None

    def test_keeps_channels_of_a_hyperstack_apart_from_slices(self, tmp_path):
        stack = np.arange(2 * 3 * 12, dtype="u1").reshape(2, 3, 3, 4)
        tifffile.imwrite(
            tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZCYX"}
        )
        np.testing.assert_array_equal(read_stack(tmp_path / "a.tif").array, stack)


class TestRefuses:
    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(
            DataError, match=r"no TIFF, PNG or other image file: it is empty"
        ):
            read_stack(tmp_path)

    def test_a_folder_of_other_files(self, tmp_path):
        (tmp_path / "a.xyz").write_bytes(b"x")
        with pytest.raises(
            DataError, match=r"no TIFF, PNG or other image file, only \.xyz"
        ):
            read_stack(tmp_path)

    def test_a_path_that_is_not_there(self, tmp_path):
        with pytest.raises(DataError, match=r"gone\.tif: no such file"):
            read_stack(tmp_path / "gone.tif")

    @pytest.mark.parametrize("name", ["a.tif", "a.png"])
    def test_text_under_the_name_of_an_image(self, tmp_path, name):
        (tmp_path / name).write_text("hello, this is no image")
        with pytest.raises(DataError, match=rf"{name}: is no (TIFF|PNG) image"):
            read_stack(tmp_path / name)

    def test_another_kind_of_file(self, tmp_path):
        (tmp_path / "a.txt").write_text("hello")
        with pytest.raises(
            DataError, match=r"a\.txt: is not an image .* a \.tif, .* \.png"
        ):
            read_stack(tmp_path / "a.txt")

    @pytest.mark.parametrize("name", ["a.tif", "a.png"])
    def test_a_truncated_image(self, tmp_path, name):
        noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype="u1")
        if name == "a.tif":
            tifffile.imwrite(tmp_path / name, noise)
        else:
            Image.fromarray(noise).save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(DataError, match=name):
            read_stack(tmp_path / name)

    def test_images_of_different_sizes(self, tmp_path):
        tifffile.imwrite(tmp_path / "1.tif", GREY)
        tifffile.imwrite(tmp_path / "2.tif", GREY.T)
        with pytest.raises(DataError, match=r"2\.tif: 4 x 3 pixels.* 3 x 4 pixels"):
            read_stack(tmp_path)

    def test_pages_of_different_sizes(self, tmp_path):
        with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
            tiff.write(GREY)
            tiff.write(GREY.T)
        with pytest.raises(DataError, match="pages of different sizes"):
            read_stack(tmp_path / "a.tif")

    def test_complex_numbers(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", GREY.astype(np.complex64))
        with pytest.raises(DataError, match="type complex64"):
            read_stack(tmp_path / "a.tif")


class TestToUnitRange:
    def test_divides_16_bit_by_65535(self):
        values = to_unit_range(np.array([0, 13107, 65535], np.uint16))
        np.testing.assert_allclose(values, [0, 0.2, 1], rtol=1e-6)
        assert values.dtype == np.float32

    def test_leaves_floats_of_the_unit_range(self):
        assert to_unit_range(np.array([0.25, 0.5])).tolist() == [0.25, 0.5]

    def test_maps_other_values_and_says_so(self, caplog):
        values = to_unit_range(np.array([-100, 0, 300], np.int16), name="a.tif")
        assert values.tolist() == [0.0, 0.25, 1.0]
        assert "a.tif: int16 values from -100 to 300 are mapped" in caplog.text


class TestOtherFormats:
    @pytest.mark.parametrize("ending", ["png", "gif", "bmp", "pgm"])
    def test_without_loss_are_read_as_written(self, tmp_path, ending):
        pixels = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
        Image.fromarray(pixels).save(tmp_path / f"a.{ending}")
        stack = read_stack(tmp_path / f"a.{ending}", palette_as_index=ending == "bmp")
        np.testing.assert_array_equal(stack.array[0, 0], pixels)

    @pytest.mark.parametrize("ending", ["jpg", "ppm"])
    def test_of_colour_have_three_channels(self, tmp_path, ending):
        pixels = np.full((8, 9, 3), (200, 30, 90), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"a.{ending}")
        array = read_stack(tmp_path / f"a.{ending}").array
        assert array.shape == (1, 3, 8, 9)
        np.testing.assert_allclose(array[0, :, 4, 4], (200, 30, 90), atol=4)

    def test_are_chosen_by_a_pattern(self, tmp_path):
        for number, name in enumerate(("1_a.png", "1_b.png", "2_a.png", "10_a.png")):
            Image.new("L", (4, 3), number).save(tmp_path / name)
        stack = read_stack(tmp_path / "*_a.png")
        assert stack.array[:, 0, 0, 0].tolist() == [0, 2, 3]


class TestVolumes:
    def test_of_a_stack_are_one(self, tmp_path):
        stack = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)
        tifffile.imwrite(tmp_path / "v.tif", stack, photometric="minisblack")
        found = read_volumes(tmp_path / "v.tif")
        np.testing.assert_array_equal(found.array, stack[None, None])
        assert found.name == "v"

    def test_of_a_folder_of_slices_are_one(self, tmp_path):
        for number in range(3):
            Image.new("L", (4, 2), number).save(tmp_path / f"{number}.png")
        array = read_volumes(tmp_path).array
        assert array.shape == (1, 1, 3, 2, 4)
        assert array[0, 0, :, 0, 0].tolist() == [0, 1, 2]

    def test_of_a_folder_of_stacks_are_several(self, tmp_path):
        for number in range(2):
            tifffile.imwrite(
                tmp_path / f"{number}.tif",
                np.full((5, 2, 3, 4), number, np.uint8),
                imagej=True,
                metadata={"axes": "ZCYX"},
            )
        array = read_volumes(tmp_path).array
        assert array.shape == (2, 2, 5, 3, 4)
        assert array[:, 0, 0, 0, 0].tolist() == [0, 1]

    def test_of_different_depths_are_refused(self, tmp_path):
        for depth in (2, 3):
            stack = np.zeros((depth, 3, 4), np.uint8)
            tifffile.imwrite(tmp_path / f"{depth}.tif", stack, photometric="minisblack")
        with pytest.raises(DataError, match=r"3\.tif: 3 slices of 3 x 4 pixels"):
            read_volumes(tmp_path)


@pytest.mark.parametrize(
    "array",
    [
        np.full((2, 3), 7.5),
        np.full((2, 3), 300, np.int16),
        np.zeros((2, 3), np.uint32),
        np.array([-1e308, 1e308]),
    ],
)
def test_grey_values_that_have_no_scale_are_refused(array):
    with pytest.raises(DataError, match=r"^cells: .* values from .* to .*; expected"):
        to_unit_range(array, name="cells")


def test_constant_images_whose_type_gives_their_scale_are_kept():
    assert to_unit_range(np.full((2,), 51, np.uint8)).tolist() == pytest.approx(
        [0.2] * 2
    )
    assert to_unit_range(np.full((2,), 0.5)).tolist() == [0.5, 0.5]
