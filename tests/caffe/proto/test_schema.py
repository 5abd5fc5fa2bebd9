"""The schema: BVLC's numbers, Freiburg's fields, and the compiled form of both."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from caffe.proto import caffe_pb2

PROTO = Path(caffe_pb2.__file__).parent


def number(message: str, field: str) -> int:
    """Return the number that the schema gives a field."""
    return getattr(caffe_pb2, message).DESCRIPTOR.fields_by_name[field].number


@pytest.mark.parametrize(
    ("message", "field", "expected"),
    [
        ("NetParameter", "layers", 2),
        ("NetParameter", "layer", 100),
        ("LayerParameter", "blobs", 7),
        ("LayerParameter", "parameter_param", 145),
        ("LayerParameter", "recurrent_param", 146),
        ("LayerParameter", "swish_param", 147),
        ("LayerParameter", "clip_param", 148),
        ("PoolingParameter", "kernel_size", 2),
        ("PoolingParameter", "stride", 3),
        ("PoolingParameter", "pad", 4),
        ("PoolingParameter", "kernel_h", 5),
        ("PoolingParameter", "stride_w", 8),
        ("PoolingParameter", "pad_h", 9),
        ("PoolingParameter", "round_mode", 13),
        ("SolverParameter", "type", 40),
        ("V1LayerParameter", "blob_share_mode", 1002),
    ],
)
def test_numbers_are_bvlcs_where_freiburg_has_others(message, field, expected):
    assert number(message, field) == expected


@pytest.mark.parametrize(
    "field",
    [
        "create_deformation_param",
        "apply_deformation_param",
        "value_augmentation_param",
        "value_transformation_param",
        "iou_param",
        "f1_param",
    ],
)
def test_freiburgs_layers_have_parameters_under_numbers_of_their_own(field):
    assert number("LayerParameter", field) > 148


def test_one_kernel_size_is_written_as_bvlc_writes_its_single_field():
    pooling = caffe_pb2.PoolingParameter(kernel_size=[3], stride=[2], pad=[1])
    assert pooling.SerializeToString() == bytes([2 << 3, 3, 3 << 3, 2, 4 << 3, 1])


def test_messages_and_enums_behave_as_generated_ones():
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)
    assert caffe_pb2.Phase.Value("TEST") == 1
    assert caffe_pb2.PoolingParameter.AVE == 1
    assert caffe_pb2.PoolingParameter.PoolMethod.Name(2) == "STOCHASTIC"
    assert caffe_pb2.V1LayerParameter.LayerType.Name(40) == "CROP"
    layer = caffe_pb2.LayerParameter(name="a", phase=caffe_pb2.TEST)
    assert pickle.loads(pickle.dumps(layer)) == copy.deepcopy(layer) == layer
    assert type(layer).__module__ == "caffe.proto.caffe_pb2"


def test_defaults_are_caffes():
    assert caffe_pb2.SolverParameter().momentum2 == pytest.approx(0.999)
    assert caffe_pb2.LossParameter().normalization == caffe_pb2.LossParameter.VALID
    assert caffe_pb2.FillerParameter().type == "constant"
    assert caffe_pb2.DropoutParameter().dropout_ratio == 0.5
    assert caffe_pb2.CropParameter().axis == 2


def test_another_caffe_schema_in_the_process_does_no_harm():
    other = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
    other.message_type.add(name="NetParameter")
    descriptor_pool.Default().AddSerializedFile(other.SerializeToString())
    assert caffe_pb2.NetParameter(name="n").name == "n"


def test_the_packaged_descriptor_set_is_caffe_proto_compiled(tmp_path):
    protoc = pytest.importorskip("grpc_tools.protoc")
    target = tmp_path / "caffe.desc"
    protoc.main(
        ["", f"-I{PROTO}", f"--descriptor_set_out={target}", str(PROTO / "caffe.proto")]
    )
    compiled, packaged = (
        descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
        for path in (target, PROTO / "caffe.desc")
    )
    assert compiled == packaged


def test_reading_and_upgrading_loads_no_torch():
    code = (
        "import sys, caffe.proto.files; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
