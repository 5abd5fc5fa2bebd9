"""Sizes as people write them, and what the system says."""

import errno
import os
import subprocess
import sys

import pytest

import caffe
from pyunet import memory
from pyunet.errors import DataError, OutOfMemoryError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100", 100),
        ("2k", 2048),
        ("512M", 512 * 1024**2),
        ("1.5G", 3 * 512 * 1024**2),
        ("1GB", 1024**3),
        (" 3 MiB ", 3 * 1024**2),
    ],
)
def test_sizes_are_read_with_their_unit(text, size):
    assert memory.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "G", "-2G", "0", "two", "1e400", "nan", "2 X"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(DataError, match="expected a size such as 500M or 2G"):
        memory.parse_bytes(text)


def test_a_written_size_is_never_smaller_than_the_number():
    assert memory.parse_bytes(memory.format_bytes(10**9 + 1)) >= 10**9 + 1


@pytest.mark.parametrize(("on_gpu", "reserve"), [(False, 96), (True, 256)])
def test_a_net_takes_its_weights_a_quarter_more_than_its_blobs_and_a_reserve(
    on_gpu, reserve
):
    needed = memory.needed_bytes(80, 912, on_gpu=on_gpu)
    assert needed == reserve * 2**20 + 80 + 1140


def test_what_is_used_grows_with_an_array_and_the_peak_stays():
    program = (
        "import numpy as np\n"
        "from pyunet.memory import peak_bytes, used_bytes\n"
        "before = used_bytes()\n"
        "array = np.ones(64 * 2**20, np.uint8)\n"
        "during = used_bytes()\n"
        "del array\n"
        "print(during - before, during - used_bytes(), peak_bytes() - during)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    grown, given_back, beyond = map(int, done.stdout.split())
    assert grown == pytest.approx(64 * 2**20, rel=0.05)
    assert given_back == pytest.approx(64 * 2**20, rel=0.05)
    assert abs(beyond) < 2**20


def test_no_more_is_available_than_the_machine_has():
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory.available_bytes() <= total


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    monkeypatch.setattr(caffe.memory, "CGROUP", tmp_path)
    assert memory.available_bytes() == 2000


def test_a_container_without_a_limit_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   5 kB\n")
    monkeypatch.setattr(caffe.memory, "CGROUP", tmp_path)
    monkeypatch.setattr(caffe.memory, "MEMINFO", tmp_path / "meminfo")
    assert memory.available_bytes() == 5 * 1024


def test_where_linux_files_are_missing_half_the_machine_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(caffe.memory, "CGROUP", tmp_path)
    monkeypatch.setattr(caffe.memory, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(caffe.memory, "STATUS", tmp_path / "none")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory.available_bytes() == total // 2
    assert memory.used_bytes() == memory.peak_bytes() > 2**20


def test_a_system_that_says_nothing_is_taken_to_have_4_gib(tmp_path, monkeypatch):
    monkeypatch.setattr(caffe.memory, "CGROUP", tmp_path)
    monkeypatch.setattr(caffe.memory, "MEMINFO", tmp_path / "none")
    monkeypatch.delattr(memory.os, "sysconf")
    assert memory.available_bytes() == 4 * 1024**3


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        caffe.OutOfMemoryError("out of memory on GPU 0"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("could not create a primitive"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_every_engines_words_are_understood(error):
    assert memory.is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("invalid device ordinal"),
        ValueError("out of memory"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_other_errors_are_not_mistaken_for_it(error):
    assert not memory.is_out_of_memory(error)


def test_an_error_of_a_file_that_memory_did_not_suffice_for_counts_too():
    error = DataError("a.tif: cannot be read")
    assert not memory.is_out_of_memory(error)
    error.__cause__ = OSError(errno.ENOMEM, "Cannot allocate memory")
    assert memory.is_out_of_memory(error)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MemoryError(), r"out of memory"),
        (MemoryError("Unable to allocate"), r"out of memory: Unable to allocate"),
        (RuntimeError("CUDA out of memory.\nTried"), r"CUDA out of memory. Tried"),
    ],
)
def test_what_libraries_raise_becomes_one_line_of_one_kind(error, text):
    with pytest.raises(OutOfMemoryError) as caught, memory.memory_errors():
        raise error
    assert str(caught.value) == text


def test_other_errors_are_not_named_anew():
    with pytest.raises(ValueError, match=r"^other$"), memory.memory_errors():
        raise ValueError("other")
