"""What counts as too little memory."""

from types import SimpleNamespace

import numpy as np
import pytest

import caffe
from pyunet.fiji.memory import WORKSPACE_BYTES, is_out_of_memory, needed_bytes


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        caffe.OutOfMemoryError("out of memory on GPU 0"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_every_engines_words_are_understood(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("invalid device ordinal"), ValueError("out of memory")]
)
def test_other_errors_are_not_mistaken_for_it(error):
    assert not is_out_of_memory(error)


def test_an_engine_without_such_an_error_is_understood_too(monkeypatch):
    monkeypatch.delitem(__import__("sys").modules, "caffe")
    assert not is_out_of_memory(RuntimeError("something else"))


def blob(*shape):
    return SimpleNamespace(shape=shape, data=np.zeros(0))


def test_all_blobs_count_where_the_engine_does_not_say_more():
    net = SimpleNamespace(
        params={"conv": [blob(2, 1, 3, 3), blob(2)]},
        blobs={"data": blob(1, 1, 10, 10), "conv": blob(1, 2, 8, 8)},
    )
    # 20 weights, 228 activations with a quarter more, 4 bytes each
    assert needed_bytes(net) == WORKSPACE_BYTES + 80 + 1140
    net.activation_bytes = lambda: 100
    assert needed_bytes(net) == WORKSPACE_BYTES + 80 + 125
