"""More samples than a batch."""

import numpy as np
import pytest

import caffe

NET = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "p" type: "Power" bottom: "x" top: "p" power_param { scale: 2 } }
layer { name: "y" type: "Power" bottom: "p" top: "y" power_param { shift: 1 } }
layer { name: "n" type: "Reduction" bottom: "p" top: "n" }
"""


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    return caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


def test_the_last_batch_is_filled_up_and_cut_off_again(net):
    x = np.arange(15).reshape(5, 3)
    found = net.forward_all(x=x)
    np.testing.assert_array_equal(found["y"], 2 * x + 1)
    assert net.forward_all(x=x[:4])["y"].shape == (4, 3)


def test_other_blobs_may_be_asked_for(net):
    x = np.ones((3, 3))
    np.testing.assert_array_equal(net.forward_all(blobs=["p"], x=x)["p"], 2 * x)


def test_outputs_without_samples_are_listed_batch_by_batch(net):
    assert net.forward_all(x=np.ones((3, 3)))["n"].tolist() == [12, 6]


def test_forward_and_backward_run_over_all_samples(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET[: NET.index('layer { name: "n"')])
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    x = np.arange(9).reshape(3, 3)
    outs, diffs = net.forward_backward_all(
        blobs=["p"], diffs=["p"], x=x, y=np.full((3, 3), 5)
    )
    np.testing.assert_array_equal(outs["y"], 2 * x + 1)
    np.testing.assert_array_equal(outs["p"], 2 * x)
    np.testing.assert_array_equal(diffs["x"], np.full((3, 3), 10))
    np.testing.assert_array_equal(diffs["p"], np.full((3, 3), 5))


def test_without_diffs_the_outputs_own_are_used(net):
    net.blobs["y"].diff[...] = 1
    _, diffs = net.forward_backward_all(x=np.zeros((2, 3)))
    np.testing.assert_array_equal(diffs["x"], np.full((2, 3), 2))


def test_unknown_names_missing_inputs_and_other_lengths_are_refused(net):
    with pytest.raises(caffe.CheckError, match="q: the net has neither inputs"):
        net.forward_backward_all(x=np.zeros((2, 3)), q=np.zeros(2))
    with pytest.raises(caffe.CheckError, match="no input is given"):
        net.forward_all()
    with pytest.raises(caffe.CheckError, match="y 3, n 2; expected one number for all"):
        net.forward_backward_all(x=np.zeros((3, 3)), y=np.zeros((3, 3)), n=np.zeros(2))
