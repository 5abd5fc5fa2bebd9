"""caffe.Detector, against a net that gives back its input."""

import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.errors import CaffeError, CheckError, FileError

RNG = np.random.default_rng(11)
SIZE = 8
NET = f"""
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 2 dim: 3 dim: {SIZE} dim: {SIZE} }} }} }}
layer {{ name: "out" type: "Pooling" bottom: "data" top: "out"
  pooling_param {{ kernel_size: 1 }} }}
"""
PIXELS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
IMAGE = (PIXELS / 255).astype(np.float32)
MEAN = np.array([104.0, 117, 123])


@pytest.fixture
def files(tmp_path):
    model, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    model.write_text(NET)
    caffe.Net(str(model), caffe.TEST).save(str(weights))
    return str(model), str(weights)


@pytest.fixture
def image(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "image.png")
    return str(tmp_path / "image.png")


def test_windows_are_warped_to_the_input(files, image):
    detector = caffe.Detector(*files)
    windows = np.array([[0, 0, SIZE, SIZE], [3, 5, 17, 29], [2, 2, 10, 10]])
    found = detector.detect_windows([(image, windows), (image, windows[:1])])
    assert [item["filename"] for item in found] == [image] * 4
    assert [item["window"].tolist() for item in found[:3]] == windows.tolist()
    cut = IMAGE[:SIZE, :SIZE].transpose(2, 0, 1)
    assert found[0]["prediction"] == pytest.approx(cut)
    warped = caffe.io.resize_image(IMAGE[3:17, 5:29], (SIZE, SIZE))
    assert found[1]["prediction"] == pytest.approx(warped.transpose(2, 0, 1))
    assert np.array_equal(found[3]["prediction"], found[0]["prediction"])


def test_preprocessing_is_that_of_the_transformer(files, image):
    detector = caffe.Detector(
        *files, mean=MEAN, input_scale=0.5, raw_scale=255, channel_swap=(2, 1, 0)
    )
    (found,) = detector.detect_windows([(image, [(0, 0, SIZE, SIZE)])])
    part = PIXELS[:SIZE, :SIZE, ::-1].transpose(2, 0, 1)
    wanted = (part - MEAN[:, None, None]) * 0.5
    assert found["prediction"] == pytest.approx(wanted, abs=1e-4)


def test_nothing_is_found_in_no_windows(files, image):
    assert caffe.Detector(*files).detect_windows([(image, [])]) == []


class TestContext:
    def test_a_window_in_the_middle_shows_its_surroundings(self, files):
        """8 pixels with a border of 2: the window fills 4, so the box is twice it."""
        detector = caffe.Detector(*files, context_pad=2)
        crop = detector.crop(IMAGE, np.array([8, 10, 11, 13]))
        # 4 x 4 pixels around (10, 12) and twice as many: rows 6 to 14, columns 8 to
        # 16, which are reckoned as 9 x 9 but cut out as 8 x 8
        assert crop == pytest.approx(IMAGE[6:14, 8:16], abs=1e-6)

    def test_beyond_the_image_lies_the_mean(self, files):
        mean = np.stack([np.full((SIZE, SIZE), value) for value in MEAN])
        detector = caffe.Detector(
            *files, mean=mean, raw_scale=255, channel_swap=(2, 1, 0), context_pad=2
        )
        crop = detector.crop(IMAGE, np.array([0, 0, 3, 3]))
        # box -2 to 6, reckoned as 9 pixels: 2 * 8/9 are 2 rows of mean, and
        # (6 + 1) * 8/9 are 6 rows of image
        assert crop.shape == (SIZE, SIZE, 3)
        assert crop[:2] == pytest.approx(np.broadcast_to(MEAN[::-1] / 255, (2, 8, 3)))
        assert crop[:, :2] == pytest.approx(
            np.broadcast_to(MEAN[::-1] / 255, (8, 2, 3))
        )
        assert crop[2:, 2:] == pytest.approx(IMAGE[:6, :6], abs=1e-6)
        net_input = detector.transformer.preprocess("data", crop)
        assert net_input[:, :2] == pytest.approx(0, abs=1e-4)

    def test_the_other_end_is_padded_too(self, files):
        detector = caffe.Detector(*files, context_pad=2)
        crop = detector.crop(IMAGE, np.array([16, 26, 19, 29]))
        # box 14 to 22 and 24 to 32; inside are 6 rows and columns, reckoned as 7
        assert crop[6:] == pytest.approx(0)
        assert crop[:, 6:] == pytest.approx(0)
        assert crop[:6, :6] == pytest.approx(IMAGE[14:, 24:], abs=1e-6)

    @pytest.mark.parametrize(
        ("mean", "value"),
        [(MEAN, MEAN), (np.full((3, SIZE, SIZE), 7.0), [7]), (None, [0])],
    )
    def test_means_of_all_shapes_are_known_in_images(self, mean, value, files):
        detector = caffe.Detector(*files, mean=mean, context_pad=1)
        assert np.broadcast_to(detector.crop_mean, (SIZE, SIZE, 3)) == pytest.approx(
            np.broadcast_to(value, (SIZE, SIZE, 3))
        )

    def test_a_window_far_outside_gives_the_mean_alone(self, files):
        detector = caffe.Detector(*files, mean=MEAN, context_pad=2)
        crop = detector.crop(IMAGE, np.array([-200, -200, 1, 1]))
        assert crop == pytest.approx(np.broadcast_to(MEAN, (SIZE, SIZE, 3)))

    def test_it_can_be_changed_later(self, files):
        detector = caffe.Detector(*files)
        detector.configure_crop(2)
        assert detector.crop(IMAGE, np.array([8, 10, 11, 13])).shape == (SIZE, SIZE, 3)
        detector.configure_crop(0)
        assert detector.crop(IMAGE, np.array([8, 10, 11, 13])).shape == (3, 3, 3)

    @pytest.mark.parametrize("pad", [4, -1])
    def test_a_border_that_leaves_nothing_is_refused(self, pad, files):
        with pytest.raises(CheckError, match=f"context_pad {pad} leaves nothing"):
            caffe.Detector(*files, context_pad=pad)


@pytest.mark.parametrize("pad", [None, 2])
def test_a_window_without_pixels_is_refused(pad, files, image):
    detector = caffe.Detector(*files, context_pad=pad)
    told = r"image.png: window \(50, 50, 60, 60\) .* no pixel of an image of 20 x 30"
    with pytest.raises(CheckError, match=told):
        detector.detect_windows([(image, [[50, 50, 60, 60]])])


def test_a_missing_image_is_named(files):
    with pytest.raises(FileError, match=r"gone\.png: cannot be read"):
        caffe.Detector(*files).detect_windows([("gone.png", [[0, 0, 1, 1]])])


class TestSelectiveSearch:
    def test_what_is_missing_is_named(self, files, image):
        detector = caffe.Detector(*files)
        with pytest.raises(CaffeError, match="needs MATLAB and the module selective"):
            detector.detect_selective_search([image])

    def test_its_windows_are_scored(self, files, image, tmp_path, monkeypatch):
        asked = []

        def get_windows(names, cmd):
            asked.append((names, cmd))
            return [np.array([[0, 0, SIZE, SIZE]]) for _ in names]

        search = ModuleType("selective_search_ijcv_with_python")
        search.get_windows = get_windows
        monkeypatch.setitem(sys.modules, search.__name__, search)
        monkeypatch.chdir(tmp_path)
        (found,) = caffe.Detector(*files).detect_selective_search(["image.png"])
        assert asked == [([image], "selective_search_rcnn")]
        assert found["filename"] == image
