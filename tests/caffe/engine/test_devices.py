"""What is said of GPUs, with a GPU that the test makes up."""

from types import SimpleNamespace

import pytest
import torch

import caffe

GIB = 2**30


@pytest.fixture
def gpus(monkeypatch):
    """Two GPUs of which the second has 3 of 8 GiB free."""
    found = SimpleNamespace(
        major=9, minor=0, name="GPU of a test", total_memory=8 * GIB,
        multi_processor_count=132,
    )  # fmt: skip
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU {number}")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: found)
    monkeypatch.setattr(
        torch.cuda, "mem_get_info", lambda number: ((8, 3)[number] * GIB, 8 * GIB)
    )
    yield
    caffe.set_device(0)


@pytest.mark.usefixtures("gpus")
def test_gpus_are_counted_named_and_say_their_free_memory():
    assert caffe.device_count() == 2
    assert caffe.device_name(1) == "GPU 1"
    assert caffe.device_memory(1) == (3 * GIB, 8 * GIB)


@pytest.mark.usefixtures("gpus")
def test_properties_are_logged_as_caffe_does(capfd):
    caffe.describe_device(1)
    lines = [line.partition("] ")[2] for line in capfd.readouterr().err.splitlines()]
    assert "Device id:                     1" in lines
    assert "Name:                          GPU of a test" in lines
    assert f"Total global memory:           {8 * GIB}" in lines


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize("ask", ["device_name", "device_memory", "describe_device"])
def test_a_gpu_that_is_not_there_is_named_as_the_fiji_plugin_expects(ask):
    with pytest.raises(caffe.DeviceError, match="GPU 2: invalid device ordinal"):
        getattr(caffe, ask)(2)
