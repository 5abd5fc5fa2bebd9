"""Binary nets of caffe_ocr are read by their own numbers."""

from tests.support.binary_nets import fork_net, read_back

SCHEMA = {
    "LayerParameter": (
        "o CTCLossParameter ctc_loss_param 159, "
        "o ReverseParameter reverse_param 160, "
        "o TransposeParameter transpose_param 8266710"
    ),
    "CTCLossParameter": "o int32 output_delay 1, o int32 blank_index 2",
    "ReverseParameter": "o int32 axis 1",
    "TransposeParameter": "r int32 dim 1",
}


def test_the_forks_numbers_are_understood(tmp_path):
    net = fork_net(SCHEMA)
    net.layer.add(name="c", type="WarpCTCLoss").ctc_loss_param.blank_index = 7
    net.layer.add(name="r", type="Reverse").reverse_param.axis = 2
    net.layer.add(name="t", type="Transpose").transpose_param.dim.extend([1, 0])
    first, second, third = read_back(net, tmp_path).layer
    assert first.ctc_loss_param.blank_index == 7
    assert second.reverse_param.axis == 2
    assert list(third.transpose_param.dim) == [1, 0]
