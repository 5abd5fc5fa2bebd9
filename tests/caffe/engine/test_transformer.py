import numpy as np
import pytest

from caffe.engine.transformer import DataTransformer, read_mean
from caffe.errors import CheckError, FileError
from caffe.io import array_to_blobproto
from caffe.proto import caffe_pb2


def transformer(*, train=False, log=lambda *line: None, **options):
    param = caffe_pb2.TransformationParameter(**options)
    return DataTransformer(param, train=train, log=log)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (3, 6, 8), np.uint8)


@pytest.fixture
def mean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(1).normal(100, 9, (3, 6, 8)).astype(np.float32)
    message = array_to_blobproto(values[None])
    (tmp_path / "mean.binaryproto").write_bytes(message.SerializeToString())
    return values


class Fixed:
    """Random numbers that are given."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def integers(self, below):
        number = self.numbers.pop(0)
        assert number < below
        return number


class TestDataTransformer:
    def test_numbers_stay_as_they_are_by_default(self, image):
        found = transformer().transform(image)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, image)

    def test_takes_the_mean_off_before_it_scales(self, image):
        found = transformer(mean_value=[104, 117, 123], scale=0.1).transform(image)
        mean = np.array([104, 117, 123], np.float32)[:, None, None]
        want = (image.astype(np.float32) - mean) * np.float32(0.1)
        np.testing.assert_array_equal(found, want)

    def test_one_mean_value_is_for_all_channels(self, image):
        found = transformer(mean_value=[7.5]).transform(image)
        np.testing.assert_array_equal(found, image - np.float32(7.5))

    def test_floats_are_taken_too(self):
        image = np.array([[[0.25, -3]]], np.float32)
        assert transformer(scale=2).transform(image).tolist() == [[[0.5, -6]]]

    def test_crops_the_middle_in_testing(self, image):
        one = transformer(crop_size=3, mirror=False)
        assert one.shape(image.shape) == (3, 3, 3)
        assert not one.needs_random
        np.testing.assert_array_equal(one.transform(image), image[:, 1:4, 2:5])

    def test_a_crop_may_have_two_sides(self, image):
        top = transformer(crop_h=2, crop_w=6).transform(image)
        np.testing.assert_array_equal(top, image[:, 2:4, 1:7])

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"crop_h": 2}, "crop_h is 2 and crop_w 0: give both"),
            ({"crop_h": 2, "crop_w": 2, "crop_size": 2}, "give one"),
            ({"resize_param": {"height": 3, "width": 3}}, "has resize_param"),
            ({"noise_param": {"inverse": True}}, "has noise_param"),
        ],
    )
    def test_refuses_what_it_cannot_do(self, options, complaint):
        with pytest.raises(CheckError, match=complaint):
            transformer(**options)

    def test_crops_anywhere_in_training(self, image):
        one = transformer(train=True, crop_size=4)
        assert one.needs_random
        found = one.transform(image, Fixed(2, 4))
        np.testing.assert_array_equal(found, image[:, 2:, 4:])
        places = set()
        rng = np.random.default_rng(0)
        for _ in range(300):
            places.add(one.transform(image, rng).tobytes())
        assert len(places) == 3 * 5

    def test_mirrors_every_second_image(self, image):
        one = transformer(mirror=True)
        assert one.needs_random
        np.testing.assert_array_equal(one.transform(image, Fixed(0)), image)
        np.testing.assert_array_equal(one.transform(image, Fixed(1)), image[:, :, ::-1])

    def test_the_mean_file_is_cropped_with_the_image_and_not_mirrored(
        self, image, mean
    ):
        lines = []
        one = transformer(
            train=True,
            crop_size=4,
            mirror=True,
            mean_file="mean.binaryproto",
            log=lambda *line: lines.append(line),
        )
        found = one.transform(image, Fixed(1, 2, 3))
        want = (image - mean)[:, 2:6, 3:7][:, :, ::-1]
        np.testing.assert_array_equal(found, want)
        text = "Loading mean file from: mean.binaryproto"
        assert lines == [("data_transformer.cpp:25", text)]

    @pytest.mark.parametrize(
        ("options", "wanted"),
        [({}, None), ({"force_color": True}, True), ({"force_gray": True}, False)],
    )
    def test_says_how_to_decode(self, options, wanted):
        assert transformer(**options).color is wanted

    @pytest.mark.usefixtures("mean")
    def test_refuses_options_that_exclude_one_another(self):
        match = "Cannot specify mean_file and mean_value at the same time"
        with pytest.raises(CheckError, match=match):
            transformer(mean_file="mean.binaryproto", mean_value=[1])
        with pytest.raises(CheckError, match="cannot set both force_color and"):
            transformer(force_color=True, force_gray=True)

    @pytest.mark.usefixtures("mean")
    @pytest.mark.parametrize(
        ("options", "match"),
        [
            (
                {"crop_size": 7},
                "the image has 6 x 8 pixels: expected crop_size 7 or more",
            ),
            ({"mean_value": [1, 2]}, "mean_value has 2 values: Specify either 1"),
            (
                {"mean_file": "mean.binaryproto"},
                r"has shape \(1, 6, 8\): expected \(3, 6, 8\), the shape of",
            ),
        ],
    )
    def test_refuses_images(self, options, match):
        with pytest.raises(CheckError, match=match):
            transformer(**options).transform(np.zeros((1, 6, 8), np.uint8))

    def test_refuses_an_empty_image(self):
        with pytest.raises(
            CheckError, match=r"shape \(1, 0, 8\): expected extents above 0"
        ):
            transformer().transform(np.zeros((1, 0, 8), np.uint8))


class TestReadMean:
    def test_three_axes_will_do(self, tmp_path):
        values = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
        path = tmp_path / "mean"
        path.write_bytes(array_to_blobproto(values).SerializeToString())
        np.testing.assert_array_equal(read_mean(str(path)), values)

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            (None, "cannot read it: No such file or directory"),
            (b"\xff\xff", r"is not a complete BlobProto .*: expected a mean image"),
            (b"", r"holds an array of shape \(0,\)|is not a complete BlobProto"),
            ((2, 1, 2, 3), r"shape \(2, 1, 2, 3\): expected \(1, channels, height"),
            ((2, 3), r"shape \(2, 3\): expected \(1, channels, height, width\)"),
            ((1, 1, 0, 3), r"shape \(1, 1, 0, 3\): expected \(1, channels"),
        ],
    )
    def test_refuses(self, tmp_path, content, match):
        path = tmp_path / "mean"
        if isinstance(content, tuple):
            content = array_to_blobproto(np.zeros(content)).SerializeToString()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(FileError, match=rf"mean: .*({match})"):
            read_mean(str(path))
