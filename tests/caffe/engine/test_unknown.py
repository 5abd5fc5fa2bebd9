"""A net that can't be built names all that is not known here."""

from __future__ import annotations

import pytest

import caffe
from caffe.errors import UnknownNamesError

NET = """
layer { name: "data" type: "ImageGtData" top: "data" image_gt_data_param { a: 1 } }
layer { name: "a" type: "BoxOutput" bottom: "data" top: "a"
  box_output_param { fg_thr: 1 } }
layer { name: "b" type: "BoxOutput" bottom: "data" top: "b"
  box_output_param { fg_thr: 1 } }
layer { name: "c" type: "convolution" bottom: "a" top: "c" }
"""
FAULTS = [
    "unknown layer type 'ImageGtData' (layer 'data'), a layer of zhaoweicai/mscnn: an "
    "Input layer with the same tops can stand in for it",
    "unknown layer type 'BoxOutput' (layer 'a' and 1 more), a layer of "
    "zhaoweicai/mscnn",
    "unknown layer type 'convolution' (layer 'c'): did you mean 'Convolution'?",
    "LayerParameter.image_gt_data_param is not known here but in zhaoweicai/mscnn "
    "(layer 'data')",
    "LayerParameter.box_output_param is not known here but in zhaoweicai/mscnn "
    "(layer 'a' and 1 more)",
]


def refusal(text, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with pytest.raises(UnknownNamesError) as caught:
        caffe.Net(str(path), caffe.TEST)
    return str(caught.value).removeprefix(f"{path}").split("; ")


def test_types_and_fields_are_named_with_their_fork_and_what_to_do(tmp_path):
    *said, advice = refusal(NET, tmp_path)
    assert said == [f": {FAULTS[0]}", *FAULTS[1:]]
    assert advice == "docs/dialects.md shows how a package adds layers"


def test_they_are_named_beside_what_does_not_parse(tmp_path):
    first, *said = refusal(f"{NET} layer {{ nam: 'x' type: 'ReLU' }}", tmp_path)
    assert first.endswith("no field 'nam' in LayerParameter")
    assert said == ["did you mean name?", *FAULTS]


def test_what_is_not_in_the_phase_is_no_fault(tmp_path):
    path = tmp_path / "net.prototxt"
    rule = "include { phase: TRAIN }"
    path.write_text(
        'layer { name: "d" type: "Input" top: "x" input_param { shape { dim: 1 } } }'
        f'layer {{ name: "o" type: "BoxOutput" box_output_param {{ a: 1 }} {rule} }}'
    )
    assert caffe.Net(str(path), caffe.TEST).inputs == ["x"]


def test_a_value_that_a_fork_alone_knows_is_named(tmp_path):
    text = 'layer { name: "d" type: "Data" top: "x" data_param { backend: IMAGEDB } }'
    (fault, _) = refusal(text, tmp_path)
    assert fault.startswith(": DataParameter.DB.IMAGEDB is not known here but in ")


def test_a_solver_names_its_fields_too(tmp_path):
    path = tmp_path / "solver.prototxt"
    path.write_text('net: "net" larc: true min_lr: 0.1 base_lr: 1 lr_policy: "fixed"')
    with pytest.raises(UnknownNamesError) as caught:
        caffe.get_solver(str(path))
    assert str(caught.value).split("; ") == [
        "SolverParameter.larc is not known here but in NVIDIA/caffe",
        "SolverParameter.min_lr is not known here but in NVIDIA/caffe",
    ]
