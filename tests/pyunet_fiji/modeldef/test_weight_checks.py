import h5py
import numpy as np
import pytest

from caffe.proto import caffe_pb2
from pyunet.errors import DataError
from pyunet_fiji.modeldef import read_modeldef
from pyunet_fiji.modeldef.findings import Effect, problems
from pyunet_fiji.modeldef.weight_checks import check_weights, compare_shapes
from tests.pyunet_fiji.modeldef.test_definition import TILED
from tests.support.modeldefs import definition, random_weights

CAFFE_UNET, _, _, WRONG, NOTE = Effect
MODEL = definition(levels=1)


@pytest.fixture
def weights(tmp_path):
    return random_weights(tmp_path / "w.caffemodel.h5", MODEL)


def check(path, model=MODEL):
    return list(check_weights(model, path))


def spoiled(path, spoil):
    with h5py.File(path, "r+") as file:
        spoil(file)
    return check(path)


def test_weights_of_the_model_fit(weights):
    assert check(weights) == []


@pytest.mark.parametrize("folder", ["unet2d", "unet3d"])
@pytest.mark.parametrize("name", ["weights.caffemodel.h5", "weights.caffemodel"])
def test_weights_of_the_original_fit(folder, name):
    model = read_modeldef(TILED / folder / "model.modeldef.h5")
    assert problems(check_weights(model, TILED / folder / name)) == []


def test_the_ident_must_be_that_of_the_model(weights):
    with h5py.File(weights, "r+") as file:
        file[".unet-ident"] = np.bytes_(MODEL.ident)
    assert check(weights) == []
    (found,) = check(weights, definition(levels=1, ident="other"))
    assert found.effect is CAFFE_UNET
    assert "is 'small2d', that of the model is 'other'" in found.what


def test_channels_are_those_of_the_weights(tmp_path):
    path = random_weights(tmp_path / "rgb.caffemodel.h5", MODEL, channels=3)
    (found,) = check(path)
    assert found.effect is NOTE
    assert "3 channels" in found.what


def test_a_net_that_cannot_have_as_many_channels_is_refused(tmp_path):
    group = "layer { name: 'g' type: 'Convolution' bottom: 'data3' top: 'g' "
    group += "convolution_param { num_output: 2 kernel_size: 1 group: 1 } }"
    eltwise = "layer { name: 'e' type: 'Eltwise' bottom: 'data3' bottom: 'h' top: 's' }"
    one = group.replace("'g'", "'h'").replace("num_output: 2", "num_output: 1")
    model = definition(model_prototxt=group + one + eltwise)
    path = random_weights(tmp_path / "w.caffemodel.h5", model)
    assert check(path, model) == []
    with h5py.File(path, "r+") as file:
        del file["data/g/0"]
        file["data/g/0"] = np.zeros((2, 3, 1, 1))
    (found,) = check(path, model)
    assert found.effect is CAFFE_UNET
    assert "layer 'e'" in found.what


def test_another_number_of_classes_leaves_scores_random(weights):
    first, second = check(weights, definition(levels=1, classes=3))
    assert first.effect is second.effect is WRONG
    assert "layer 'conv_u0d-score', array 0: shape (2, 4, 1, 1)" in first.what
    assert "stays random" in first.what


def test_a_layer_that_is_missing_is_refused(weights):
    (found,) = spoiled(weights, lambda file: file.__delitem__("data/conv_u0d-score"))
    assert found.effect is CAFFE_UNET
    assert "lacks conv_u0d-score" in found.what


def test_a_layer_that_the_net_has_not_is_noted(weights):
    def spoil(file):
        file["data/extra/0"] = np.zeros(3)

    (found,) = spoiled(weights, spoil)
    assert found.effect is NOTE
    assert "has extra" in found.what


def test_a_missing_bias_is_refused(weights):
    (found,) = spoiled(weights, lambda file: file.__delitem__("data/conv_d0a-b/1"))
    assert found.effect is CAFFE_UNET
    assert "has 1 arrays, in the net 2" in found.what


def test_another_kernel_is_refused(weights):
    def spoil(file):
        del file["data/conv_d0b-c/0"]
        file["data/conv_d0b-c/0"] = np.zeros((4, 4, 5, 5))

    (found,) = spoiled(weights, spoil)
    assert found.effect is CAFFE_UNET
    assert "shape (4, 4, 5, 5), in the net (4, 4, 3, 3)" in found.what


def test_weights_of_another_dimension_are_refused_in_few_lines(tmp_path, weights):
    found = check(weights, definition(levels=3, axes=3))
    assert any(each.effect is CAFFE_UNET for each in found)
    assert any("more arrays do not fit" in each.what for each in found)
    assert len(found) < 12


def test_many_layers_are_named_in_one_line(weights):
    (found,) = [
        each
        for each in check(weights, definition(levels=2))
        if each.what.startswith("lacks")
    ]
    assert "and " in found.what
    assert " more, which only a training may draw" in found.what


def test_binary_weights_must_have_the_very_shapes(tmp_path):
    path = tmp_path / "w.caffemodel"
    message = caffe_pb2.NetParameter()
    layer = message.layers.add(name="conv_u0d-score")
    old = layer.blobs.add(num=1, channels=1, height=1, width=3)
    old.data.extend([0] * 3)
    path.write_bytes(message.SerializeToString())
    assert "lacks" in check(path)[0].what
    wanted = {"conv_u0d-score": [(3,)]}
    assert not list(
        compare_shapes(wanted, {"conv_u0d-score": [(1, 1, 1, 3)]}, "w", hdf5=False)
    )
    (found,) = compare_shapes(wanted, {"conv_u0d-score": [(2,)]}, "w", hdf5=False)
    assert found.effect is CAFFE_UNET


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"\x89HDF\r\n\x1a\n" + b"x" * 99])
def test_what_are_no_weights_is_refused(tmp_path, content):
    path = tmp_path / "w.caffemodel.h5"
    path.write_bytes(content)
    (found,) = check(path)
    assert found.effect is CAFFE_UNET
    assert found.where == str(path)


def test_a_model_is_no_weights():
    model = TILED / "unet2d/model.modeldef.h5"
    (found,) = check_weights(read_modeldef(model), model)
    assert "has no group /data" in found.what


def test_weights_that_are_not_there_are_an_error(tmp_path):
    with pytest.raises(DataError, match="no such file; weights are wanted"):
        check(tmp_path / "w.h5")
