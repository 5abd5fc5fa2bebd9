"""Binary nets of SSD's build, which has its own numbers."""

from caffe.proto import caffe_pb2
from caffe.proto.files import read_net_binary


def field(number: int, payload: bytes) -> bytes:
    """Bytes of a message or string field; numbers from 16 on take two."""
    key = number << 3 | 2
    head = bytes([key]) if key < 128 else bytes([key & 127 | 128, key >> 7])
    return head + bytes([len(payload)]) + payload


def layer(name: str, kind: str, number: int, options: bytes) -> bytes:
    content = field(1, name.encode()) + field(2, kind.encode())
    return field(100, content + field(number, options))


def test_options_are_read_by_ssds_numbers(tmp_path):
    # order: 0 2 3 1; num_classes: 21, keep_top_k: 200; across_spatial: false
    path = tmp_path / "ssd.caffemodel"
    path.write_bytes(
        layer("perm", "Permute", 202, bytes([8, 0, 8, 2, 8, 3, 8, 1]))
        + layer("out", "DetectionOutput", 204, bytes([8, 21, 56, 200, 1]))
        + layer("norm", "Normalize", 206, bytes([8, 0]))
    )
    permute, output, norm = read_net_binary(path).layer
    assert list(permute.permute_param.order) == [0, 2, 3, 1]
    assert output.detection_output_param.num_classes == 21
    assert output.detection_output_param.keep_top_k == 200
    assert not norm.norm_param.across_spatial
    assert norm.norm_param.HasField("across_spatial")


def test_what_is_written_here_has_the_same_numbers():
    kinds = caffe_pb2.LayerParameter.DESCRIPTOR.fields_by_name
    assert kinds["annotated_data_param"].number == 200
    assert kinds["norm_param"].number == 206
    kinds = caffe_pb2.TransformationParameter.DESCRIPTOR.fields_by_name
    assert kinds["expand_param"].number == 14
