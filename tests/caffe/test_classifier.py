"""caffe.Classifier, against a net whose scores are means of its channels."""

import numpy as np
import pytest

import caffe
from caffe.errors import CheckError

RNG = np.random.default_rng(3)
NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 4 dim: 3 dim: 4 dim: 6 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 } }
"""
# fixed numbers, one row a class
WEIGHTS = np.random.default_rng(5).normal(size=(2, 3 * 4 * 6)).astype(np.float32)


@pytest.fixture
def files(tmp_path):
    model, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    model.write_text(NET)
    net = caffe.Net(str(model), caffe.TEST)
    net.params["ip"][0].data[...] = WEIGHTS
    net.save(str(weights))
    return str(model), str(weights)


def scores(crops):
    """What the net says of (number, height, width, channels)."""
    blobs = np.moveaxis(np.asarray(crops, np.float32), -1, 1)
    return blobs.reshape(len(blobs), -1) @ WEIGHTS.T


def test_is_a_net_in_phase_test(files):
    net = caffe.Classifier(*files)
    assert isinstance(net, caffe.Net)
    assert net.params["ip"][0].data == pytest.approx(WEIGHTS)
    assert net.crop_dims.tolist() == net.image_dims.tolist() == [4, 6]


def test_the_centre_is_classified_without_oversampling(files):
    net = caffe.Classifier(*files, image_dims=(7, 9))
    images = [RNG.random((7, 9, 3)) for _ in range(5)]  # more than a batch
    found = net.predict(images, oversample=False)
    centres = [image[1:5, 1:7] for image in images]
    assert found == pytest.approx(scores(centres), abs=1e-5)


def test_oversampling_averages_ten_crops(files):
    net = caffe.Classifier(*files, image_dims=(7, 9))
    images = [RNG.random((7, 9, 3)) for _ in range(3)]
    found = net.predict(images)
    for image, own in zip(images, found, strict=True):
        crops = [
            image[y : y + 4, x : x + 6]
            for y, x in ((0, 0), (0, 3), (3, 0), (3, 3), (1, 1))
        ]
        crops += [crop[:, ::-1] for crop in crops]
        assert own == pytest.approx(scores(crops).mean(axis=0), abs=1e-5)


def test_images_are_resized_to_image_dims(files):
    net = caffe.Classifier(*files, image_dims=np.array([8, 8]))
    image = RNG.random((16, 10, 3))
    resized = caffe.io.resize_image(image, (8, 8))
    found = net.predict([image], oversample=False)
    assert found == pytest.approx(scores([resized[2:6, 1:7]]), abs=1e-5)


def test_preprocessing_is_that_of_the_transformer(files):
    mean = np.array([10.0, 20, 30])
    net = caffe.Classifier(
        *files, mean=mean, input_scale=0.1, raw_scale=255, channel_swap=(2, 1, 0)
    )
    image = RNG.random((4, 6, 3))
    found = net.predict([image], oversample=False)
    wanted = scores([(image[:, :, ::-1] * 255 - mean) * 0.1])
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-3)


def test_crops_that_do_not_fit_are_refused(files):
    net = caffe.Classifier(*files, image_dims=(3, 6))
    with pytest.raises(
        CheckError, match="4 x 6 pixels do not fit into image_dims of 3"
    ):
        net.predict([np.ones((3, 6, 3))], oversample=False)


def test_no_image_is_refused(files):
    with pytest.raises(CheckError, match="no image to classify"):
        caffe.Classifier(*files).predict([])


@pytest.mark.parametrize("oversample", [True, False])
@pytest.mark.parametrize("shape", [(4, 6, 1), (4, 6, 4), (4, 6)])
def test_an_image_of_other_channels_than_the_nets_is_refused(files, shape, oversample):
    net = caffe.Classifier(*files)
    with pytest.raises(CheckError, match=r"image 1: has shape .*'data'.* has 3"):
        net.predict([np.zeros((4, 6, 3)), np.zeros(shape)], oversample=oversample)


def test_a_colour_image_for_a_net_of_one_channel_is_told_how_to_be_read(tmp_path):
    model = tmp_path / "grey.prototxt"
    model.write_text(NET.replace("dim: 4 dim: 3", "dim: 4 dim: 1"))
    net = caffe.Net(str(model), caffe.TEST)
    net.save(str(tmp_path / "grey.caffemodel"))
    net = caffe.Classifier(str(model), str(tmp_path / "grey.caffemodel"))
    with pytest.raises(CheckError, match=r"load_image\(path, color=False\)"):
        net.predict([np.zeros((4, 6, 3))])
    assert net.predict([np.zeros((4, 6, 1))]).shape == (1, 2)
