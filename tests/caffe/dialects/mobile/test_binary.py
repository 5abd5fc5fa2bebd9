"""Binary nets of forks for telephones are read by their own numbers."""

from tests.support.binary_nets import fork_net, read_back

SCHEMA = {
    "LayerParameter": (
        "o ShuffleChannelParameter shuffle_channel_param 164, "
        "o FlipParameter flip_param 212"
    ),
    "ShuffleChannelParameter": "o uint32 group 1",
    "FlipParameter": "o bool flip_width 1, o bool flip_height 2",
}


def test_the_forks_numbers_are_understood(tmp_path):
    net = fork_net(SCHEMA)
    shuffle = net.layer.add(name="s", type="ShuffleChannel")
    shuffle.shuffle_channel_param.group = 3
    net.layer.add(name="f", type="Flip").flip_param.flip_height = True
    first, second = read_back(net, tmp_path).layer
    assert first.shuffle_channel_param.group == 3
    assert second.flip_param.flip_height
