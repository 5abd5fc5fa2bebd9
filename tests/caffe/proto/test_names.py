"""Texts with names that the schema does not know: all of them are said at once."""

from __future__ import annotations

import pytest

from caffe.errors import PrototxtError, UnknownNamesError
from caffe.proto import caffe_pb2
from caffe.proto.forks import fork_of, unsupported
from caffe.proto.text import parse_text, to_text


def net(text):
    return parse_text(text, caffe_pb2.NetParameter(), name="f")


def test_every_unknown_name_is_said_with_its_line():
    text = """layer { nam: "x" convolution_param { kernal_size: 3
  foo { a: 1 b { c: "}" } } } }
layer { include { phase: train } pooling_param { pool: MEDIAN } }
bar: [1, 2]
"""
    with pytest.raises(UnknownNamesError) as caught:
        net(text)
    assert str(caught.value).split("; ") == [
        "f:1:9: no field 'nam' in LayerParameter",
        "did you mean name?",
        "line 1: no field 'kernal_size' in ConvolutionParameter",
        "did you mean kernel_size?",
        "line 2: no field 'foo' in ConvolutionParameter",
        "line 3: no value train in Phase",
        "did you mean TRAIN?",
        "line 3: no value MEDIAN in PoolMethod".replace(
            "PoolMethod", "PoolingParameter.PoolMethod"
        ),
        "line 4: no field 'bar' in NetParameter",
    ]
    known = caught.value.known
    assert [bool(layer.ListFields()) for layer in known.layer] == [True, True]


def test_a_name_is_said_once_however_often_it_occurs():
    with pytest.raises(UnknownNamesError) as caught:
        net('layer { nam: "x" } layer { nam: "y" }')
    assert str(caught.value).count("nam'") == 1


WRITTEN = """layer {
  name: "det"
  type: "BoxOutput"
  box_output_param { fg_thr: -5 # of the foreground
    iou_thr: 0.65 nms_type: "IOU" }
}
"""


def test_a_field_that_a_fork_alone_knows_is_read_and_printed_as_it_is_written():
    read = net(WRITTEN)
    assert to_text(read) == WRITTEN
    assert net(to_text(read)) == read
    assert list(unsupported(read)) == [("LayerParameter", "box_output_param")]
    assert fork_of("LayerParameter", "box_output_param") == "zhaoweicai/mscnn"


@pytest.mark.parametrize(
    "value",
    [": 5", ":5", "{ a: 1 }", "< a <b: 1> >", ": { a: 1 }", ": -inf",
     ": 'a' \"b\"", ": [1, 2]", ": [{ a: 1 }]", "\n{\na: 1}"],
)  # fmt: skip
def test_whatever_stands_in_such_a_field_is_kept(value):
    text = f"layer {{ box_output_param{value} name: 'x' }}"
    read = net(text)
    assert read.layer[0].name == "x"
    assert read.layer[0].box_output_param.as_written == f"box_output_param{value}"
    assert net(to_text(read)) == read


def test_it_may_be_empty():
    text = "layer {\n  box_output_param {}\n}\n"
    assert to_text(net(text)) == text


def test_such_a_field_may_stand_there_several_times():
    read = parse_text("stepearly: 1 stepearly: 2", caffe_pb2.SolverParameter())
    assert to_text(read) == "stepearly: 1\nstepearly: 2\n"


def test_a_second_one_of_a_forks_repeated_message_is_kept_beside_the_first():
    text = (
        "layer { transform_param { resize_param { prob: 1 } resize_param { x: 2 } } }"
    )
    transform = net(text).layer[0].transform_param
    assert transform.resize_param.prob == 1
    assert transform.resize_param_again.as_written == "resize_param { x: 2 }"


def test_the_place_of_an_error_behind_such_a_field_is_right():
    with pytest.raises(PrototxtError, match=r"^f:3:9: field 'name' .* twice"):
        net("layer { name: 'x' box_output_param\n{ a: 1\n} name: 'y' }")


def test_a_value_of_an_ignored_field_is_ignored_with_it():
    read = net("layer { convolution_param { engine: DLA num_output: 3 } }")
    assert to_text(read.layer[0].convolution_param) == "num_output: 3\n"


def test_no_names_of_forks_are_suggested():
    with pytest.raises(UnknownNamesError) as caught:
        net("layer { box_output_parm { } }")
    assert "box_output_param" not in str(caught.value)


def test_old_layers_take_a_forks_fields_along():
    from caffe.proto.files import parse_net

    read = parse_net("layers { name: 'm' type: MAT_READ mat_read_param { prefix: 1 } }")
    assert read.layer[0].type == "MatRead"
    assert read.layer[0].mat_read_param.as_written == "mat_read_param { prefix: 1 }"
