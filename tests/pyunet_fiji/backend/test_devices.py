"""The flag -gpu, and what an engine says of its devices."""

import sys
from types import ModuleType

import pytest

from pyunet_fiji.backend import devices
from pyunet_fiji.backend.errors import CheckFailedError
from pyunet_fiji.backend.flags import Flags


@pytest.fixture
def engine(monkeypatch):
    """Stand in for caffe; notes what is asked of it."""
    module = ModuleType("caffe")
    module.calls = []
    module.set_device = lambda number: module.calls.append(("set_device", number))
    module.set_mode_gpu = lambda: module.calls.append("set_mode_gpu")
    monkeypatch.setitem(sys.modules, "caffe", module)
    return module


def choose(gpu):
    return devices.choose_device(gpu, gpu_place="a.cpp:1", cpu_place="a.cpp:2")


@pytest.mark.parametrize(
    ("gpu", "number"), [("0", 0), ("all", 0), ("3,1", 3), (" 2", 2)]
)
def test_the_first_gpu_that_is_named_computes(gpu, number, engine, said):
    assert choose(gpu) == number
    assert engine.calls == [("set_device", number), "set_mode_gpu"]
    (line,) = said()
    assert line.endswith(f"a.cpp:1] Use GPU with device ID {number}")


def test_without_the_flag_the_cpu_computes_and_no_engine_is_loaded(said, monkeypatch):
    monkeypatch.setitem(sys.modules, "caffe", None)
    assert choose("") is None
    (line,) = said()
    assert line.endswith("a.cpp:2] Use CPU.")


@pytest.mark.parametrize("gpu", ["first", "-1", ",", "1.5"])
def test_what_names_no_gpu_is_refused(gpu):
    with pytest.raises(CheckFailedError, match="accepted are numbers of GPUs"):
        devices.first_gpu(gpu)


def test_an_engine_that_knows_names_and_memory_is_asked(engine, said):
    assert devices.free_megabytes(0) is None
    engine.device_name = lambda number: f"Card {number}"
    engine.device_memory = lambda number: (5 * 2**20 + 1, 2**30)
    choose("1")
    assert said()[-1].endswith("GPU device name: Card 1")
    assert devices.free_megabytes(1) == 5


def test_device_query_describes_each_gpu(engine, said):
    engine.describe_device = lambda number: engine.calls.append(number)
    engine.device_count = lambda: 2
    assert devices.run(Flags(gpu="all")) == 0
    assert engine.calls == [("set_device", 0), 0, ("set_device", 1), 1]
    assert said()[0].endswith("Querying GPUs all")


def test_device_query_works_on_any_engine(engine):
    assert devices.run(Flags(gpu="2")) == 0
    assert devices.run(Flags(gpu="all")) == 0
    assert engine.calls == [("set_device", 2), ("set_device", 0)]


def test_device_query_of_nothing_asks_nobody(said, monkeypatch):
    monkeypatch.setitem(sys.modules, "caffe", None)
    assert devices.run(Flags()) == 0
    assert said()[0].endswith("Querying GPUs ")


def test_device_query_of_a_gpu_that_is_not_there_is_an_error():
    from caffe import DeviceError

    with pytest.raises(DeviceError, match="invalid device ordinal"):
        devices.run(Flags(gpu="99"))
