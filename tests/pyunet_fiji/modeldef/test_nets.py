import pytest

from pyunet.errors import DataError
from pyunet_fiji.modeldef import read_modeldef
from pyunet_fiji.modeldef.nets import (
    build_net,
    deploy_text,
    find_geometry,
    loose_ends,
    parse_net,
    parse_solver,
    read_test_layers,
)
from pyunet_fiji.modeldef.shapes import net_geometry
from tests.pyunet_fiji.modeldef.test_definition import TILED
from tests.support.modeldefs import definition

SAME = """
layer { name: "a" type: "Convolution" bottom: "data" top: "score"
        convolution_param { num_output: 2 kernel_size: 3 pad: 1 } }"""
ANISOTROPIC = """
layer { name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param {
  num_output: 2 kernel_size: 1 kernel_size: 3 kernel_size: 3 } }
layer { name: "b" type: "Pooling" bottom: "a" top: "b" pooling_param {
  kernel_size: 1 kernel_size: 2 kernel_size: 2 stride: 1 stride: 2 stride: 2 } }
layer { name: "c" type: "Convolution" bottom: "b" top: "c"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "d" type: "Deconvolution" bottom: "c" top: "score" convolution_param {
  num_output: 2 kernel_size: 1 kernel_size: 2 kernel_size: 2
  stride: 1 stride: 2 stride: 2 } }"""


def sizes(geometry):
    return geometry.downsample_factor, geometry.pad_input, geometry.pad_output


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize("axes", [2, 3])
def test_the_sizes_of_a_u_net_are_found_as_its_maker_states_them(levels, axes):
    model = definition(levels=levels, axes=axes)
    layers = read_test_layers(model.model_prototxt)
    found = find_geometry(layers, "data3", "score", axes)
    assert sizes(found) == net_geometry((levels,) * axes)


@pytest.mark.parametrize("folder", ["unet2d", "unet3d"])
def test_the_sizes_of_models_of_the_original_are_found(folder):
    model = read_modeldef(TILED / folder / "model.modeldef.h5")
    layers = read_test_layers(model.model_prototxt)
    found = find_geometry(layers, model.input_blob_name, "score", model.dimensions)
    assert sizes(found) == (model.downsample_factor, model.pad_input, model.pad_output)


def test_every_axis_has_its_own_sizes():
    found = find_geometry(read_test_layers(ANISOTROPIC), "data", "score", 3)
    # z: 3 pixels less; y and x: 2 less, halved, 2 less, doubled
    assert sizes(found) == ((1, 2, 2), (0, 2, 2), (-2, -4, -4))


def test_a_net_that_pads_gives_as_many_pixels_as_it_gets():
    found = find_geometry(read_test_layers(SAME), "data", "score", 2)
    assert found.pad_input == found.pad_output


def test_found_sizes_are_those_of_the_net_that_runs():
    model = definition(levels=2)
    net = build_net(model)
    assert tuple(net.blobs["data3"].shape) == (1, 1, 44, 44)
    assert tuple(net.blobs["score"].shape) == (1, 2, 4, 4)


def test_the_net_is_built_for_so_many_channels():
    net = build_net(definition(), channels=3)
    assert tuple(net.params["conv_d0a-b"][0].shape) == (4, 3, 3, 3)


def test_a_net_that_caffe_refuses_is_an_error_without_the_temporary_path():
    model = definition(model_prototxt="layer { name: 'a' type: 'Nothing' top: 'b' }")
    with pytest.raises(DataError, match="Nothing") as error:
        build_net(model)
    assert "/tmp" not in str(error.value)


def test_loose_ends_are_the_input_and_the_output():
    assert loose_ends(read_test_layers(definition().model_prototxt)) == (
        ["data3"],
        ["score"],
    )


def test_a_blob_that_two_layers_take_is_made_once():
    text = """
    layer { name: "a" type: "ReLU" bottom: "data" top: "a" }
    layer { name: "b" type: "ReLU" bottom: "a" top: "b" }
    layer { name: "c" type: "Concat" bottom: "a" bottom: "b" bottom: "x" top: "c" }"""
    assert loose_ends(read_test_layers(text)) == (["data", "x"], ["c"])


def test_names_are_quoted_in_the_text_of_the_net():
    model = definition(input_blob_name='a"b', model_prototxt="name: 'x'")
    message = parse_net(deploy_text(model, 2, (44, 48)))
    assert message.layer[0].top == ['a"b']
    assert list(message.layer[0].input_param.shape[0].dim) == [1, 2, 44, 48]
    assert message.name == "x"


@pytest.mark.parametrize("parse", [parse_net, parse_solver])
def test_a_text_that_is_no_message_is_refused(parse):
    with pytest.raises(DataError, match="Parameter that caffe can read"):
        parse("nonsense: 3")
