"""OpenCV is the witness: Caffe reads and resizes with it."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from caffe.engine.sources import images
from caffe.errors import CheckError, FileError


@pytest.fixture(scope="module")
def picture():
    noise = np.random.default_rng(0).integers(0, 256, (40, 53, 3), np.uint8)
    return cv2.GaussianBlur(noise, (5, 5), 1)


def by_opencv(raw, color):
    flag = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: -1}[color]
    found = cv2.imdecode(np.frombuffer(raw, np.uint8), flag)
    return found if found.ndim == 3 else found[:, :, None]


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


class TestDecode:
    @pytest.mark.parametrize("color", [True, False, None])
    @pytest.mark.parametrize(
        "kind", ["png", "jpg", "bmp", "tiff", "ppm", "pgm", "jp2", "webp"]
    )
    def test_gives_the_pixels_of_opencv(self, picture, kind, color):
        shown = {"ppm": [picture], "pgm": [picture[:, :, 0]]}
        for image in shown.get(kind, [picture, picture[:, :, 0]]):
            raw = cv2.imencode(f".{kind}", image)[1].tobytes()
            np.testing.assert_array_equal(
                images.decode(raw, color), by_opencv(raw, color)
            )

    @pytest.mark.parametrize("color", [True, False, None])
    @pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1", "L"])
    def test_every_mode_of_a_png(self, picture, mode, color):
        image = Image.fromarray(picture)
        image.putalpha(Image.fromarray(picture[:, :, 1]))
        raw = saved(image.convert("RGB" if mode == "P" else "RGBA").convert(mode))
        np.testing.assert_array_equal(images.decode(raw, color), by_opencv(raw, color))

    @pytest.mark.parametrize("color", [True, False])
    def test_sixteen_bits_become_eight(self, picture, color):
        deep = picture[:, :, 0].astype(np.uint16) * 257 - 3
        raw = cv2.imencode(".png", deep)[1].tobytes()
        np.testing.assert_array_equal(images.decode(raw, color), by_opencv(raw, color))

    @pytest.mark.parametrize("color", [True, False, None])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_cameras_say_which_side_is_up(self, picture, orientation, color):
        exif = Image.Exif()
        exif[0x0112] = orientation
        raw = saved(Image.fromarray(picture), "JPEG", exif=exif)
        np.testing.assert_array_equal(images.decode(raw, color), by_opencv(raw, color))

    def test_refuses_deeper_pixels_where_caffe_does(self):
        raw = saved(Image.fromarray(np.zeros((2, 2), np.uint16)))
        with pytest.raises(CheckError, match="must be unsigned byte: it has 16 bits"):
            images.decode(raw, None)
        raw = saved(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF")
        with pytest.raises(CheckError, match="must be unsigned byte: it is F"):
            images.decode(raw)

    @pytest.mark.parametrize(
        "raw", [b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
    )
    def test_refuses_other_files(self, raw):
        with pytest.raises(CheckError, match="is no image, or a damaged one"):
            images.decode(raw)

    @pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tiff", "jp2", "webp"])
    def test_a_file_cut_short_is_an_error(self, picture, kind):
        raw = cv2.imencode(f".{kind}", picture)[1].tobytes()
        for part in (0.02, 0.5, 0.9):
            with pytest.raises(CheckError, match="is no image, or a damaged one"):
                images.decode(raw[: int(part * len(raw))])

    def test_an_image_of_absurd_size_is_an_error(self):
        head = b"P6 100000 100000 255\n"
        with pytest.raises(CheckError, match=r"is no image, or a damaged one \(Image"):
            images.decode(head + bytes(1000))


class TestRead:
    def test_a_missing_file_is_named(self):
        with pytest.raises(
            FileError, match=r"^no.png: Could not load it: No such file"
        ):
            images.read("no.png")

    def test_a_name_that_can_be_no_file_is_an_error(self):
        with pytest.raises(FileError, match="Could not load it: embedded null"):
            images.read("a\0b")

    def test_a_file_that_is_no_image_is_named(self, tmp_path):
        (tmp_path / "a.png").write_text("text")
        with pytest.raises(FileError, match=r"a.png: is no image"):
            images.read(tmp_path / "a.png")


class TestResize:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_is_that_of_opencv_to_the_last_bit(self, channels):
        rng = np.random.default_rng(1)
        for _ in range(60):
            old, new = rng.integers(1, 60, 2), rng.integers(1, 80, 2)
            image = rng.integers(0, 256, (*old, channels), np.uint8)
            want = cv2.resize(image, (int(new[1]), int(new[0])))
            got = images.resize(image, int(new[0]), int(new[1]))
            np.testing.assert_array_equal(got, want.reshape(*new, channels))

    def test_the_same_size_is_the_same_image(self):
        image = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
        np.testing.assert_array_equal(images.resize(image, 5, 6), image)

    def test_half_the_size_is_the_mean_of_four_pixels(self):
        image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
        want = cv2.resize(image, (15, 10))
        np.testing.assert_array_equal(images.resize(image, 10, 15), want)


class TestEncode:
    @pytest.mark.parametrize("kind", ["png", "bmp", "tif"])
    def test_nothing_is_lost(self, picture, kind):
        for image in (picture, picture[:, :, :1]):
            raw = images.encode(image, kind)
            np.testing.assert_array_equal(by_opencv(raw, None), image)

    def test_jpeg_is_as_close_as_that_of_opencv(self, picture):
        theirs = cv2.imencode(".jpg", picture)[1].tobytes()
        ours = images.encode(picture, "jpg")
        error = [
            np.abs(by_opencv(raw, True).astype(float) - picture).mean()
            for raw in (ours, theirs)
        ]
        assert error[0] == pytest.approx(error[1], rel=0.1)

    @pytest.mark.parametrize("kind", ["", "nonsense", "eps", "pdf"])
    def test_refuses_other_kinds(self, picture, kind):
        with pytest.raises(CheckError, match=f"encoding '{kind}' is unknown: .*png"):
            images.encode(picture, kind)


class TestReadList:
    def test_what_can_not_be_seen_is_left_out(self, tmp_path):
        source = tmp_path / "list.txt"
        source.write_bytes(b"\xef\xbb\xbfa.png 1 \r\nb c.png 2\t \nd.png   3\n   \n")
        found = images.read_list(str(source))
        assert found == [("a.png", 1), ("b c.png", 2), ("d.png  ", 3)]

    def test_the_last_space_counts(self, tmp_path):
        (tmp_path / "list").write_text("a b.png 3\nc.png -2\r\n\nd.png x\ne.png\n7 8")
        assert images.read_list(str(tmp_path / "list")) == [
            ("a b.png", 3),
            ("c.png", -2),
            ("d.png", 0),
            ("e.png", 0),
            ("7", 8),
        ]

    def test_names_of_other_encodings_reach_the_file(self, tmp_path):
        (tmp_path / "list").write_bytes(b"\xe9.png 1\n")
        ((name, _),) = images.read_list(str(tmp_path / "list"))
        assert name.encode(errors="surrogateescape") == b"\xe9.png"

    def test_refuses(self, tmp_path):
        with pytest.raises(
            FileError, match="no: No such file or directory: expected a text"
        ):
            images.read_list(str(tmp_path / "no"))
        with pytest.raises(FileError, match="embedded null byte: expected a text"):
            images.read_list("a\0b")
        (tmp_path / "empty").write_text("\n\n")
        with pytest.raises(FileError, match="empty: File is empty"):
            images.read_list(str(tmp_path / "empty"))
