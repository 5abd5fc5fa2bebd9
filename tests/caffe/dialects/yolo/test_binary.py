"""Binary nets of MobileNet-YOLO are read by their own numbers."""

from tests.support.binary_nets import fork_net, read_back

SCHEMA = {
    "LayerParameter": (
        "o ReorgParameter reorg_param 149, o UpsampleParameter upsample_param 150, "
        "o Yolov3DetectionOutputParameter yolov3_detection_output_param 602"
    ),
    "ReorgParameter": "o uint32 stride 1, o bool reverse 2",
    "UpsampleParameter": "o int32 scale 1",
    "Yolov3DetectionOutputParameter": "o uint32 num_classes 1, r float biases 5",
}


def test_the_forks_numbers_are_understood(tmp_path):
    net = fork_net(SCHEMA)
    reorg = net.layer.add(name="r", type="Reorg").reorg_param
    reorg.stride, reorg.reverse = 3, True
    net.layer.add(name="u", type="Upsample", bottom=["x"]).upsample_param.scale = 4
    output = net.layer.add(name="o", type="Yolov3DetectionOutput")
    output.yolov3_detection_output_param.biases.extend([10, 14])
    first, second, third = read_back(net, tmp_path).layer
    assert (first.reorg_param.stride, first.reorg_param.reverse) == (3, True)
    assert second.upsample_param.scale == 4
    assert list(third.yolov3_detection_output_param.biases) == [10, 14]
