"""What only a GPU can show: precision, mirrors on the host, an end of its memory."""

import numpy as np
import pytest
import torch

import caffe

pytestmark = pytest.mark.gpu

NET = """
layer { name: "in" type: "Input" top: "in"
  input_param { shape { dim: [1, 64, 64, 64] } } }
layer { name: "conv" type: "Convolution" bottom: "in" top: "out"
  convolution_param { num_output: 64 kernel_size: 3
    weight_filler { type: "msra" } } }
layer { name: "next" type: "Convolution" bottom: "out" top: "last"
  convolution_param { num_output: 64 kernel_size: 3
    weight_filler { type: "msra" } } }
"""


@pytest.fixture(autouse=True)
def on_gpu():
    caffe.set_device(0)
    caffe.set_mode_gpu()
    yield
    caffe.set_precision("float32")
    caffe.set_mode_cpu()


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.set_random_seed(1)
    made = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    made.blobs["in"].data[...] = np.random.default_rng(0).random(
        made.blobs["in"].data.shape, np.float32
    )
    return made


def error(net, precision):
    """Relative distance of the scores to those of the CPU."""
    caffe.set_precision("float32")
    caffe.set_mode_cpu()
    want = net.forward()["last"].copy()
    caffe.set_mode_gpu()
    caffe.set_precision(precision)
    got = net.forward()["last"]
    return np.linalg.norm(got - want) / np.linalg.norm(want)


def test_float32_is_the_default_and_does_not_round_to_tf32(net):
    assert caffe.precision() == "float32"
    assert error(net, "float32") < 1e-6


def test_tf32_and_bf16_are_chosen_by_name(net):
    assert 1e-5 < error(net, "tf32") < 2e-3
    assert 3e-4 < error(net, "bf16") < 3e-2
    assert error(net, "float32") < 1e-6


def test_what_is_written_to_a_blob_counts_at_the_next_forward(net):
    first = net.forward()["last"].copy()
    data = net.blobs["in"].data
    data *= 2
    np.testing.assert_array_equal(net.blobs["in"].data, data)
    for weight in ("conv", "next"):
        net.params[weight][1].data[...] = 0
    np.testing.assert_allclose(net.forward()["last"], 2 * first, rtol=1e-4, atol=1e-4)


def test_an_array_of_a_weight_is_read_anew_after_it_was_asked_for(net):
    weight = net.params["next"][0].data
    weight[...] = 0
    assert not net.forward()["last"].any()
    net.params["next"][0].data[...] = 1
    assert net.forward()["last"].any()


def test_gradients_of_the_gpu_are_those_of_the_cpu(net):
    found = []
    for choose in (caffe.set_mode_cpu, caffe.set_mode_gpu):
        choose()
        net.forward()
        for item in net.learnable:
            item.blob.diff_memory.clear()
        net.blobs["last"].diff[...] = 1
        net.backward()
        found.append(net.params["conv"][0].diff.copy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3, atol=1e-2)


def test_too_little_memory_is_one_error_and_what_is_smaller_runs(net):
    net.forward()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.5 * 2**30 / whole)
    try:
        net.blobs["in"].reshape(1, 64, 2000, 2000)  # 1 GiB
        net.reshape()
        with pytest.raises(caffe.OutOfMemoryError, match="out of memory on GPU 0"):
            net.forward()
        net.blobs["in"].reshape(1, 64, 64, 64)
        net.reshape()
        net.blobs["in"].data[...] = 1
        assert net.forward()["last"].any()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
