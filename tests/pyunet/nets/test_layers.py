"""Reading layers from prototxt text of both syntaxes."""

import pytest
from google.protobuf import text_format

from caffe.proto import caffe_pb2
from pyunet.errors import DataError
from pyunet.nets.layers import read_layers


def read(text, axes=2):
    return read_layers(text_format.Parse(text, caffe_pb2.NetParameter()), axes)


def test_one_number_of_a_window_goes_for_all_axes():
    (layer,) = read(
        'layer { name: "c" type: "Convolution" bottom: "x" top: "y" '
        "convolution_param { num_output: 1 kernel_size: 3 stride: 2 pad: 1 } }",
        axes=3,
    )
    assert layer.kernel == (3, 3, 3)
    assert layer.stride == (2, 2, 2)
    assert layer.pad == (1, 1, 1)
    assert layer.dilation == (1, 1, 1)


def test_a_window_may_have_one_number_an_axis():
    (layer,) = read(
        'layer { name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param '
        "{ kernel_size: 1 kernel_size: 2 kernel_size: 2 "
        "stride: 1 stride: 2 stride: 2 } }",
        axes=3,
    )
    assert layer.kernel == (1, 2, 2)
    assert layer.stride == (1, 2, 2)


def test_kernel_h_and_kernel_w_are_y_and_x():
    (layer,) = read(
        'layer { name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param '
        "{ num_output: 1 kernel_h: 3 kernel_w: 5 pad_h: 1 pad_w: 2 } }"
    )
    assert layer.kernel == (3, 5)
    assert layer.pad == (1, 2)


def test_layers_of_the_training_phase_are_left_out():
    layers = read(
        'layer { name: "a" type: "ReLU" include { phase: TRAIN } } '
        'layer { name: "b" type: "ReLU" exclude { phase: TEST } } '
        'layer { name: "c" type: "ReLU" include { phase: TEST } } '
        'layer { name: "d" type: "ReLU" include { stage: "deploy" } } '
        'layer { name: "e" type: "ReLU" include { min_level: 1 } } '
        'layer { name: "f" type: "ReLU" include { max_level: -1 } } '
        'layer { name: "g" type: "ReLU" exclude { phase: TRAIN } } '
    )
    assert [layer.name for layer in layers] == ["c", "g"]


def test_a_crop_of_the_new_syntax_begins_at_0_where_nothing_is_said():
    (layer,) = read('layer { name: "c" type: "Crop" bottom: "x" bottom: "y" top: "z" }')
    assert layer.offset == (0, 0)
    assert layer.cropped == (True, True)


def test_a_crop_names_its_first_axis_and_offsets():
    (layer,) = read(
        'layer { name: "c" type: "Crop" bottom: "x" bottom: "y" top: "z" '
        "crop_param { axis: -2 offset: 4 offset: 6 } }",
        axes=3,
    )
    assert layer.cropped == (False, True, True)
    assert layer.offset == (0, 4, 6)


def test_a_crop_of_the_old_syntax_is_centred():
    (layer,) = read('layers { name: "c" type: CROP bottom: "x" bottom: "y" top: "z" }')
    assert layer.kind == "crop"
    assert layer.offset == (None, None)


def test_types_of_the_old_syntax_have_the_names_of_the_new_one():
    layers = read(
        'layers { name: "a" type: DECONVOLUTION bottom: "x" top: "y" '
        "convolution_param { num_output: 1 kernel_size: 2 stride: 2 } } "
        'layers { name: "b" type: SOFTMAX_LOSS bottom: "x" top: "y" }'
    )
    assert [layer.kind for layer in layers] == ["deconvolution", "softmaxloss"]
    assert layers[0].stride == (2, 2)


def test_a_layer_without_a_type_is_refused():
    with pytest.raises(DataError, match="V0 nets are not accepted"):
        read('layers { layer { name: "a" type: "conv" } bottom: "x" top: "y" }')


def test_global_pooling_is_refused():
    with pytest.raises(DataError, match=r"layer 'p' pools over all positions"):
        read(
            'layer { name: "p" type: "Pooling" bottom: "x" top: "y" '
            "pooling_param { global_pooling: true } }"
        )
