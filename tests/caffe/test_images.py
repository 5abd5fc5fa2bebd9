"""Images of caffe.io, against Pillow, scipy and formulas in numpy."""

import io as streams
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import map_coordinates

import caffe
from caffe.engine.sources import images as engine_images
from caffe.errors import CheckError, FileError

RNG = np.random.default_rng(7)
BYTES = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)
LUMINANCE = np.array([0.2125, 0.7154, 0.0721])


def saved(path, array, mode=None):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


class TestLoadImage:
    def test_colors_are_numbers_from_0_to_1(self, tmp_path):
        image = caffe.io.load_image(saved(tmp_path / "a.png", BYTES))
        assert image.dtype == np.float32
        assert np.array_equal(image, (BYTES / 255).astype(np.float32))

    def test_a_name_may_be_a_string_or_a_file(self, tmp_path):
        path = saved(tmp_path / "a.png", BYTES)
        stream = streams.BytesIO(path.read_bytes())
        want = caffe.io.load_image(path)
        assert np.array_equal(caffe.io.load_image(str(path)), want)
        assert np.array_equal(caffe.io.load_image(stream), want)

    def test_grey_is_the_luminance_of_colors(self, tmp_path):
        path = saved(tmp_path / "a.png", BYTES)
        image = caffe.io.load_image(path, color=False)
        assert image.shape == (6, 5, 1)
        assert image[:, :, 0] == pytest.approx(BYTES / 255 @ LUMINANCE, abs=1e-7)

    @pytest.mark.parametrize(("color", "channels"), [(True, 3), (False, 1)])
    def test_a_grey_image_is_repeated_for_colors(self, color, channels, tmp_path):
        path = saved(tmp_path / "a.png", BYTES[:, :, 0])
        image = caffe.io.load_image(path, color)
        want = np.repeat(BYTES[:, :, :1] / 255, channels, axis=2)
        assert np.array_equal(image, want.astype(np.float32))

    @pytest.mark.parametrize("color", [True, False])
    def test_transparency_is_left_out(self, color, tmp_path):
        clear = np.dstack([BYTES, np.zeros((6, 5), np.uint8)])
        image = caffe.io.load_image(saved(tmp_path / "a.png", clear), color)
        want = caffe.io.load_image(saved(tmp_path / "b.png", BYTES), color)
        assert np.array_equal(image, want)

    def test_grey_with_transparency_is_grey(self, tmp_path):
        grey = saved(tmp_path / "grey.png", BYTES[:, :, 0])
        image = caffe.io.load_image(saved(tmp_path / "a.png", BYTES[:, :, 0], "LA"))
        assert np.array_equal(image, caffe.io.load_image(grey))

    def test_a_palette_is_looked_up(self, tmp_path):
        few = np.zeros((4, 4, 3), np.uint8)
        few[:2] = [255, 0, 51]
        image = caffe.io.load_image(saved(tmp_path / "a.png", few, "P"))
        assert image[0, 0] == pytest.approx([1, 0, 0.2])
        assert image[3, 0] == pytest.approx([0, 0, 0])

    def test_black_and_white_is_0_and_1(self, tmp_path):
        image = caffe.io.load_image(saved(tmp_path / "a.png", BYTES[:, :, 0] > 99))
        assert np.array_equal(image[:, :, 0], (BYTES[:, :, 0] > 99).astype(float))

    @pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
    def test_16_bits_keep_their_precision(self, ending, tmp_path):
        array = RNG.integers(0, 1 << 16, (4, 3)).astype(np.uint16)
        image = caffe.io.load_image(saved(tmp_path / f"a.{ending}", array))
        assert image[:, :, 0] == pytest.approx(array / 65535)

    def test_floats_of_a_tiff_stay_as_they_are(self, tmp_path):
        array = RNG.random((4, 3), np.float32) * 7
        tifffile.imwrite(tmp_path / "a.tif", array)
        image = caffe.io.load_image(tmp_path / "a.tif", color=False)
        assert np.array_equal(image[:, :, 0], array)

    def test_a_tiff_in_planes_is_turned(self, tmp_path):
        planes = np.moveaxis(BYTES, -1, 0).copy()
        tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb")
        image = caffe.io.load_image(tmp_path / "a.tif")
        assert np.array_equal(image, (BYTES / 255).astype(np.float32))

    @pytest.mark.parametrize("name", ["bad.png", "bad.tif", "gone.png", "gone.tif"])
    @pytest.mark.parametrize("kind", [FileError, OSError])
    def test_what_is_no_image_is_refused_in_one_line(self, name, kind, tmp_path):
        (tmp_path / "bad.png").write_bytes(b"text")
        (tmp_path / "bad.tif").write_bytes(b"text")
        with pytest.raises(kind, match=f"{name}: cannot be read as an image: ") as seen:
            caffe.io.load_image(tmp_path / name)
        assert "\n" not in str(seen.value)
        assert ("No such file" in str(seen.value)) == name.startswith("gone")


def interpolated(image, size):
    """Linear interpolation between centres of pixels; beyond lies the least value."""
    height, width = image.shape[:2]
    rows = (np.arange(size[0]) + 0.5) * height / size[0] - 0.5
    columns = (np.arange(size[1]) + 0.5) * width / size[1] - 0.5
    grid = np.meshgrid(rows, columns, indexing="ij")
    return np.stack(
        [
            map_coordinates(
                channel, grid, order=1, mode="grid-constant", cval=image.min()
            )
            for channel in np.moveaxis(image, -1, 0)
        ],
        axis=-1,
    )


class TestResizeImage:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("size", [(14, 18), (5, 4), (7, 20), (1, 1), (7, 9)])
    def test_1_and_3_channels_are_interpolated_without_smoothing(self, channels, size):
        image = RNG.normal(size=(7, 9, channels)) * 50
        made = caffe.io.resize_image(image, size)
        assert made.dtype == np.float32
        assert made == pytest.approx(interpolated(image, size), rel=1e-5, abs=1e-5)

    def test_other_channels_keep_the_centres_of_the_corners(self):
        image = RNG.random((5, 5, 2))
        made = caffe.io.resize_image(image, (9, 3))
        assert made.shape == (9, 3, 2)
        assert made[::2, ::2] == pytest.approx(image[:, ::4], abs=1e-6)
        assert made[1, 0] == pytest.approx((image[0, 0] + image[1, 0]) / 2)

    def test_the_order_of_the_spline_is_used(self):
        image = RNG.random((4, 4, 3))
        made = caffe.io.resize_image(image, (8, 8), interp_order=0)
        assert made == pytest.approx(np.kron(image, np.ones((2, 2, 1))), abs=1e-6)

    def test_a_constant_image_stays_constant(self):
        made = caffe.io.resize_image(np.full((3, 3, 3), 7, np.uint8), (4, 2))
        assert (made == np.full((4, 2, 3), 7)).all()
        assert made.dtype == np.float32

    def test_an_image_without_channels_is_refused(self):
        with pytest.raises(CheckError, match=r"this one has shape \(3, 3\)"):
            caffe.io.resize_image(np.zeros((3, 3)), (4, 4))


class TestOversample:
    @pytest.mark.parametrize("size", [(4, 3), (7, 8), (5, 8)])
    def test_corners_and_centre_come_first_then_their_mirrors(self, size):
        images = [RNG.random((7, 8, 2)) for _ in range(2)]
        height, width = size
        crops = caffe.io.oversample(images, size)
        assert crops.shape == (20, height, width, 2)
        assert crops.dtype == np.float32
        top, left = int(7 / 2 - height / 2), int(8 / 2 - width / 2)
        for image, own in zip(images, (crops[:10], crops[10:]), strict=True):
            image = image.astype(np.float32)
            assert np.array_equal(own[0], image[:height, :width])
            assert np.array_equal(own[1], image[:height, -width:])
            assert np.array_equal(own[2], image[-height:, :width])
            assert np.array_equal(own[3], image[-height:, -width:])
            centre = image[top : top + height, left : left + width]
            assert np.array_equal(own[4], centre)
            assert np.array_equal(own[5:], own[:5, :, ::-1])

    def test_crops_that_do_not_fit_are_refused(self):
        with pytest.raises(CheckError, match=r"8 x 8 pixels do not fit.*\(7, 8, 1\)"):
            caffe.io.oversample([np.zeros((7, 8, 1))], (8, 8))


@pytest.fixture
def transformer():
    return caffe.io.Transformer({"data": (10, 3, 6, 5)})


class TestTransformer:
    def test_all_steps_come_in_caffes_order(self, transformer):
        mean = RNG.random((3, 6, 5)) * 100
        transformer.set_transpose("data", (2, 0, 1))
        transformer.set_channel_swap("data", (2, 1, 0))
        transformer.set_raw_scale("data", 255)
        transformer.set_mean("data", mean)
        transformer.set_input_scale("data", 0.5)
        image = RNG.random((6, 5, 3), np.float32)
        before = image.copy()
        made = transformer.preprocess("data", image)
        want = (image.transpose(2, 0, 1)[::-1] * 255 - mean) * 0.5
        assert made == pytest.approx(want, rel=1e-5, abs=1e-5)
        assert made.dtype == np.float32
        assert np.array_equal(image, before)
        back = transformer.deprocess("data", made[np.newaxis])
        assert back == pytest.approx(image, abs=1e-5)

    def test_without_settings_numbers_stay(self, transformer):
        image = RNG.random((6, 5, 3), np.float32)
        assert np.array_equal(transformer.preprocess("data", image), image)
        assert np.array_equal(transformer.deprocess("data", image), image)

    def test_images_of_another_size_are_resized(self, transformer):
        image = RNG.random((12, 9, 3))
        made = transformer.preprocess("data", image)
        assert made == pytest.approx(interpolated(image, (6, 5)), abs=1e-6)

    def test_a_mean_of_each_channel_is_subtracted(self, transformer):
        transformer.set_transpose("data", (2, 0, 1))
        transformer.set_mean("data", np.array([104.0, 117.0, 123.0]))
        made = transformer.preprocess("data", np.zeros((6, 5, 3)))
        assert (made == -np.array([104, 117, 123])[:, None, None]).all()
        assert transformer.mean["data"].shape == (3, 1, 1)

    def test_one_channel_comes_back_with_its_axis(self):
        transformer = caffe.io.Transformer({"data": (1, 1, 2, 3)})
        transformer.set_transpose("data", (2, 0, 1))
        transformer.set_mean("data", np.ones((2, 3)))
        image = RNG.random((2, 3, 1), np.float32)
        made = transformer.preprocess("data", image)
        back = transformer.deprocess("data", made[np.newaxis])
        assert back == pytest.approx(image, abs=1e-6)

    def test_a_mean_of_another_size_is_resized_to_the_input(self, transformer):
        rows = np.array([0.0, 255.0])
        mean = np.broadcast_to(rows[:, None], (3, 2, 5))
        transformer.set_mean("data", mean)
        got = transformer.mean["data"]
        assert got.shape == (3, 6, 5)
        # their centres lie at 5/6 and 7/6 of the old pixels, whose own are 1/2 and 3/2
        assert got[:, 2:4, 2] == pytest.approx(np.array([[85, 170]] * 3), abs=1e-3)
        transformer.set_mean("data", np.full((3, 2, 2), 7.0))
        assert (transformer.mean["data"] == 7).all()

    @pytest.mark.parametrize(
        ("method", "value", "told"),
        [
            ("set_transpose", (1, 0), r"\(1, 0\) needs to have the same number.*: 3$"),
            ("set_channel_swap", (1, 0), r"\(1, 0\) needs to have the same num.*: 3$"),
            ("set_mean", np.zeros(2), "Mean channels incompatible with input: 2 and 3"),
            ("set_mean", np.zeros((1, 3, 6, 5)), r"Mean shape invalid: \(1, 3, 6, 5\)"),
            ("set_mean", np.zeros((2, 5, 5)), r"incompatible.*\(2, 5, 5\) and \(3, 6,"),
            ("set_mean", np.zeros((6, 5)), r"incompatible.*\(6, 5\) and \(3, 6, 5\)"),
        ],
    )
    def test_what_does_not_fit_the_input_is_refused(
        self, transformer, method, value, told
    ):
        with pytest.raises(ValueError, match=told):
            getattr(transformer, method)("data", value)

    @pytest.mark.parametrize(
        ("method", "value"),
        [
            ("preprocess", np.zeros((6, 5, 3))),
            ("deprocess", np.zeros((3, 6, 5))),
            ("set_transpose", (2, 0, 1)),
            ("set_channel_swap", (2, 1, 0)),
            ("set_raw_scale", 255),
            ("set_mean", np.zeros(3)),
            ("set_input_scale", 2),
        ],
    )
    def test_an_unknown_input_is_refused(self, transformer, method, value):
        with pytest.raises(CheckError, match="image is not one of the net inputs: dat"):
            getattr(transformer, method)("image", value)


def tiff(*, pages=1, follows=0):
    """Bytes of a TIFF of 4 by 4 pixels; the last page leads to byte `follows`."""
    memory = streams.BytesIO()
    tifffile.imwrite(memory, np.zeros((pages, 4, 4), np.uint8), metadata=None)
    raw = bytearray(memory.getvalue())
    at = struct.unpack_from("<I", raw, 4)[0]
    while True:
        end = at + 2 + 12 * struct.unpack_from("<H", raw, at)[0]
        following = struct.unpack_from("<I", raw, end)[0]
        if not following:
            struct.pack_into("<I", raw, end, follows)
            return bytes(raw)
        at = following


class TestDamagedImages:
    @pytest.mark.parametrize("pages", [1, 3])
    def test_pages_that_follow_themselves_are_refused(self, pages, tmp_path):
        path = tmp_path / "a.tif"
        path.write_bytes(tiff(pages=pages))
        assert caffe.io.load_image(path).size
        path.write_bytes(tiff(pages=pages, follows=8))
        with pytest.raises(FileError, match=r"a\.tif: .*page at byte 8 follows itself"):
            caffe.io.load_image(path)

    def test_a_size_that_no_file_of_so_few_bytes_has_is_refused(self, tmp_path):
        path = saved(tmp_path / "a.png", BYTES)
        raw = bytearray(path.read_bytes())
        struct.pack_into(">II", raw, 16, 9_000, 9_000)
        raw[29:33] = struct.pack(">I", zlib.crc32(raw[12:29]))
        path.write_bytes(raw)
        for read in (caffe.io.load_image, engine_images.read):
            with pytest.raises(FileError, match="says that it has 81000000 pixels"):
                read(path)

    def test_a_tiff_of_four_axes_is_refused(self, tmp_path):
        path = tmp_path / "a.tif"
        tifffile.imwrite(
            path, np.zeros((2, 3, 4, 5, 3), np.uint8), photometric="rgb", metadata={}
        )
        with pytest.raises(FileError, match=r"has shape \(2, 3, 4, 5, 3\)"):
            caffe.io.load_image(path)

    def test_grey_and_transparency_in_a_tiff_are_grey(self, tmp_path):
        two = BYTES[:, :, :2]
        tifffile.imwrite(
            tmp_path / "a.tif", two, photometric="minisblack", extrasamples=[1]
        )
        image = caffe.io.load_image(tmp_path / "a.tif", color=False)
        assert image[:, :, 0] == pytest.approx(two[:, :, 0] / 255, abs=1e-6)

    def test_a_kind_that_would_run_a_program_is_not_opened(self, tmp_path):
        path = tmp_path / "a.png"
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
        with pytest.raises(FileError, match="cannot identify"):
            caffe.io.load_image(path)
