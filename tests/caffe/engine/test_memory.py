"""Too little memory is said so that the Fiji plugin understands it."""

import errno

import numpy as np
import pytest
import torch

import caffe
from caffe.engine import common, memory
from caffe.engine.memory import memory_errors

TOO_MUCH = 10**15
NET = """
layer { name: "in" type: "Input" top: "in" input_param { shape { dim: 1 } } }
layer { name: "p" type: "Power" bottom: "in" top: "out" power_param { power: 2 } }
"""


def failing(*args, **kwargs):
    raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2.00 GiB.")


def memory_named(start):
    return pytest.raises(caffe.OutOfMemoryError, match=f"^{start}")


@pytest.mark.parametrize(
    "ask", [lambda: torch.empty(TOO_MUCH), lambda: np.empty(TOO_MUCH)]
)
def test_a_library_without_memory_becomes_one_error_with_its_reason(ask):
    with memory_named("out of memory on the CPU: .*all"), memory_errors():
        ask()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=str,
)
def test_words_of_the_system_and_of_cpp_are_understood(error):
    with memory_named("out of memory on the CPU: "), memory_errors():
        raise error


def test_the_error_is_also_pythons_memory_error():
    assert issubclass(caffe.OutOfMemoryError, MemoryError)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match=r"^shapes"), memory_errors():
        raise RuntimeError("shapes differ")


def test_an_error_that_is_named_already_is_not_named_again():
    with memory_named("out of memory on the CPU$"), memory_errors(), memory_errors():
        raise MemoryError


def test_a_forward_without_memory_gives_one_line_and_the_net_goes_on(
    tmp_path, monkeypatch
):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    net = caffe.Net(str(path), caffe.TEST)
    net.blobs["in"].data[...] = 3
    with monkeypatch.context() as patch:
        patch.setattr(type(net._runner._fused), "forward", failing)
        with pytest.raises(caffe.OutOfMemoryError) as caught:
            net.forward()
    assert "\n" not in str(caught.value)
    assert net.forward()["out"] == [9]


def test_on_a_gpu_the_text_names_it_and_its_cache_is_given_back(monkeypatch):
    emptied = []
    monkeypatch.setattr(common, "gpu_mode", lambda: True)
    monkeypatch.setattr(common, "device", lambda: torch.device("cuda", 3))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    with memory_named("out of memory on GPU 3: CUDA"), memory_errors():
        failing()
    assert emptied == [True]


@pytest.mark.parametrize(
    ("limit", "used", "free"),
    [("9000", "8000", 1000), ("90000", "8000", 5 << 10), ("max", "8000", 5 << 10)],
)
def test_the_smaller_of_what_machine_and_control_group_leave_is_free(
    tmp_path, monkeypatch, limit, used, free
):
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   5 kB\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    monkeypatch.setattr(caffe.memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(caffe.memory, "CGROUP", tmp_path)
    assert memory.available() == free


def test_a_system_that_does_not_say_what_is_free_gives_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(caffe.memory, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(caffe.memory, "CGROUP", tmp_path)
    assert memory.available() is None
