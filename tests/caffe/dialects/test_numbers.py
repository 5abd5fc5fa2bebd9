"""Binary nets with the numbers of forks that segment images."""

from __future__ import annotations

from caffe.proto.files import read_net_binary


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def field(number: int, content: bytes | int) -> bytes:
    """One field as protobuf writes it."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def layer(kind: str, options: bytes) -> bytes:
    return field(100, field(1, b"x") + field(2, kind.encode()) + options)


def read(tmp_path, *layers: bytes):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(field(1, b"net") + b"".join(layers))
    return read_net_binary(path).layer


def test_a_net_of_pspnet_is_read_by_its_numbers(tmp_path):
    interp, accuracy, bn = read(
        tmp_path,
        layer("Interp", field(143, field(1, 60) + field(2, 80))),
        layer("SegAccuracy", field(144, field(2, 255))),
        layer("BN", field(152, field(1, b"") + field(5, 1))),
    )
    assert (interp.interp_param.height, interp.interp_param.width) == (60, 80)
    assert list(accuracy.seg_accuracy_param.ignore_label) == [255]
    assert bn.bn_param.frozen
    assert bn.bn_param.HasField("slope_filler")


def test_a_net_of_segnet_is_read_by_its_numbers(tmp_path):
    bn, upsample, data = read(
        tmp_path,
        layer("BN", field(45, field(2, b"") + field(3, 1))),
        layer("Upsample", field(137, field(6, 45) + field(7, 60))),
        layer("DenseImageData", field(138, field(2, 4))),
    )
    assert bn.bn_param.bn_mode == bn.bn_param.INFERENCE
    assert bn.bn_param.HasField("shift_filler")
    assert not bn.bn_param.HasField("bias_filler")
    assert upsample.upsample_param.upsample_w == 60
    assert data.dense_image_data_param.batch_size == 4
