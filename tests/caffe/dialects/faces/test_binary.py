"""Binary nets of happynear's Caffe are read by their own numbers."""

from tests.support.binary_nets import fork_net, read_back

SCHEMA = {
    "LayerParameter": (
        "o TripletLossParameter triplet_loss_param 203, "
        "o CenterLossParameter center_loss_param 211, "
        "o NormalizeParameter normalize_param 214"
    ),
    "TripletLossParameter": "o float margin 1",
    "CenterLossParameter": "o uint32 num_output 1",
    "NormalizeParameter": "o string normalize_type 1, o bool bp_norm 3",
}


def test_the_forks_numbers_are_understood(tmp_path):
    net = fork_net(SCHEMA)
    net.layer.add(name="t", type="TripletLoss").triplet_loss_param.margin = 0.5
    net.layer.add(name="c", type="CenterLoss").center_loss_param.num_output = 7
    normalize = net.layer.add(name="n", type="Normalize").normalize_param
    normalize.normalize_type, normalize.bp_norm = "L1", True
    first, second, third = read_back(net, tmp_path).layer
    assert first.triplet_loss_param.margin == 0.5
    assert second.center_loss_param.num_output == 7
    assert third.normalize_param.normalize_type == "L1"
    assert third.normalize_param.bp_norm
