"""Binary nets of C3D 1.1 are read by their own numbers."""

from tests.support.binary_nets import fork_net, read_back

SCHEMA = {
    "LayerParameter": (
        "o Convolution3DParameter convolution3d_param 6661, "
        "o Pooling3DParameter pooling3d_param 6662"
    ),
    "Convolution3DParameter": "o uint32 kernel_size 4, o uint32 kernel_depth 6",
    "Pooling3DParameter": "o uint32 stride 3, o uint32 temporal_stride 6",
}


def test_the_forks_numbers_are_understood(tmp_path):
    net = fork_net(SCHEMA)
    convolution = net.layer.add(name="c", type="Convolution3D").convolution3d_param
    convolution.kernel_size, convolution.kernel_depth = 3, 2
    pooling = net.layer.add(name="p", type="Pooling3D").pooling3d_param
    pooling.stride, pooling.temporal_stride = 2, 1
    first, second = read_back(net, tmp_path).layer
    assert first.convolution3d_param.kernel_size == 3
    assert first.convolution3d_param.kernel_depth == 2
    assert second.pooling3d_param.stride == 2
    assert second.pooling3d_param.temporal_stride == 1
