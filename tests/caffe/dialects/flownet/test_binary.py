"""Binary nets of FlowNet 2 are read by their own numbers."""

from tests.support.binary_nets import fork_net, read_back

SCHEMA = {
    "LayerParameter": (
        "o CorrelationParameter correlation_param 150, "
        "o L1LossParameter l1_loss_param 151, "
        "o ResampleParameter resample_param 155"
    ),
    "CorrelationParameter": "o uint32 pad 2, o uint32 kernel_size 3",
    "L1LossParameter": "o bool l2_per_location 1",
    "ResampleParameter": "o uint32 width 1, o int32 type 3",
}


def test_the_forks_numbers_are_understood(tmp_path):
    net = fork_net(SCHEMA)
    net.layer.add(name="c", type="Correlation").correlation_param.kernel_size = 3
    net.layer.add(name="l", type="L1Loss").l1_loss_param.l2_per_location = True
    resample = net.layer.add(name="r", type="Resample").resample_param
    resample.width, resample.type = 9, 3
    first, second, third = read_back(net, tmp_path).layer
    assert first.correlation_param.kernel_size == 3
    assert second.l1_loss_param.l2_per_location
    assert third.resample_param.width == 9
    assert third.resample_param.type == third.resample_param.CUBIC
