"""The flag -gpu, and what an engine says of its devices."""

import pytest

import caffe
from pyunet_fiji.backend import devices
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.flags import Flags


@pytest.fixture
def engine(monkeypatch):
    """Let caffe have two GPUs; gives what is asked of it."""
    calls = []
    for name, answer in {
        "set_device": lambda number: calls.append(("set_device", number)),
        "set_mode_gpu": lambda: calls.append("set_mode_gpu"),
        "device_name": lambda number: f"Card {number}",
        "device_memory": lambda number: (5 * 2**20 + 1, 2**30),
        "device_count": lambda: 2,
        "describe_device": calls.append,
    }.items():
        monkeypatch.setattr(caffe, name, answer)
    return calls


def choose(gpu):
    return devices.choose_device(gpu, gpu_place="a.cpp:1", cpu_place="a.cpp:2")


@pytest.mark.parametrize(
    ("gpu", "number"), [("0", 0), ("all", 0), ("3,1", 3), (" 2", 2)]
)
def test_the_first_gpu_that_is_named_computes(gpu, number, engine, said):
    assert choose(gpu) == number
    assert engine == [("set_device", number), "set_mode_gpu"]
    first, second = said()
    assert first.endswith(f"a.cpp:1] Use GPU with device ID {number}")
    assert second.endswith(f"GPU device name: Card {number}")


def test_without_the_flag_the_cpu_computes(engine, said):
    assert choose("") is None
    assert not engine
    (line,) = said()
    assert line.endswith("a.cpp:2] Use CPU.")


@pytest.mark.parametrize("gpu", ["first", "-1", ",", "1.5"])
def test_what_names_no_gpu_is_refused(gpu):
    with pytest.raises(CheckFailedError, match="accepted are numbers of GPUs"):
        devices.first_gpu(gpu)


def test_the_free_memory_of_a_gpu_is_in_whole_megabytes(engine):
    assert devices.free_megabytes(1) == 5


def test_device_query_describes_each_gpu(engine, said):
    assert devices.run(Flags(gpu="all")) == 0
    assert engine == [("set_device", 0), 0, ("set_device", 1), 1]
    assert said()[0].endswith("Querying GPUs all")


def test_device_query_of_nothing_asks_nobody(engine, said):
    assert devices.run(Flags()) == 0
    assert not engine
    assert said()[0].endswith("Querying GPUs ")


def test_device_query_of_a_gpu_that_is_not_there_is_an_error():
    with pytest.raises(caffe.DeviceError, match="invalid device ordinal"):
        devices.run(Flags(gpu="99"))
