"""Binary nets of R-FCN's fork, which has other numbers for two normalizations."""

from __future__ import annotations

import caffe
from caffe.proto import caffe_pb2
from caffe.proto.files import read_net_binary

OHEM = """
layer { name: "loss" type: "SmoothL1LossOHEM" bottom: "a" bottom: "b" top: "loss"
  loss_param { %s } }
layer { name: "pool" type: "PSROIPooling" bottom: "a" bottom: "r" top: "p"
  psroi_pooling_param { spatial_scale: 0.0625 output_dim: 21 group_size: 7 } }
"""


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def field(number: int, content: bytes | int) -> bytes:
    """One field as protobuf writes it."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def layer(kind: str, *options: bytes) -> bytes:
    names = field(1, kind.lower().encode()) + field(2, kind.encode())
    return field(100, names + b"".join(options))


def read(tmp_path, *layers: bytes):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(field(1, b"net") + b"".join(layers))
    return read_net_binary(path).layer


def test_the_options_of_published_models_are_read(tmp_path):
    regions, grid, marks, smooth, boxes = read(
        tmp_path,
        layer("ROIPooling", field(8266711, field(1, 6) + field(2, 7))),
        layer("PSROIPooling", field(10001, b"\r\x00\x00\x80=" + field(2, 21))),
        layer("BoxAnnotatorOHEM", field(10000, field(1, 128))),
        layer("SmoothL1Loss", field(8266712, b"\r\x00\x00\x40@")),
        layer("Proposal", field(8266713, field(6, 12000))),
    )
    assert regions.roi_pooling_param.pooled_w == 7
    assert grid.psroi_pooling_param.spatial_scale == 1 / 16
    assert marks.box_annotator_ohem_param.roi_per_img == 128
    assert smooth.smooth_l1_loss_param.sigma == 3
    assert boxes.proposal_param.pre_nms_topn == 12000


def test_three_is_a_fixed_divisor_and_four_is_none(tmp_path):
    fixed = field(101, field(3, 3) + b"\x25\x00\x00\x80C")
    none = field(101, field(3, 4))
    layers = read(
        tmp_path,
        layer("SmoothL1LossOHEM", fixed),
        layer("SmoothL1LossOHEM", none),
    )
    modes = [layers[i].loss_param.normalization for i in range(2)]
    known = caffe_pb2.LossParameter
    assert modes == [known.PRE_FIXED, known.NONE]
    assert layers[0].loss_param.pre_fixed_normalizer == 256


def test_a_file_of_ours_is_read_as_it_was_written(tmp_path):
    for mode in (
        "normalization: NONE",
        "normalization: PRE_FIXED pre_fixed_normalizer: 9",
        "ignore_label: -1",
    ):
        net = caffe.parse_net(OHEM % mode)
        path = tmp_path / "net.caffemodel"
        path.write_bytes(net.SerializeToString())
        assert read_net_binary(path) == net
