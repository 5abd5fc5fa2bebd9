"""Batches that are on their way to a device before they are asked for."""

import time

import numpy as np
import pytest
import torch

from caffe.engine.sources.prefetch import Prefetcher, PrefetchingLayer
from caffe.engine.staging import Staging
from caffe.errors import FileError
from caffe.proto import caffe_pb2
from tests.support.layers import make_context


class Counting:
    """Gives 0, 1, 2 ..."""

    def first_state(self):
        return {"row": 0}

    def read(self, state):
        return [np.full(2, state["row"], np.float32)], {"row": state["row"] + 1}


class Lane:
    """Tells what was sent, and when it was joined."""

    def __init__(self):
        self.calls = []

    def room(self, count, dtype):
        return torch.empty(count, dtype=dtype)

    def send(self, pinned):
        self.calls.append(f"send {pinned[0][0]:g}")
        return [part.clone() for part in pinned], lambda: None

    def join(self, sent):
        self.calls.append(f"join {sent[0][0]:g}")


@pytest.fixture
def layer():
    class CountingLayer(PrefetchingLayer):
        def reader(self, param, context):
            return Counting()

    context = make_context()
    found = CountingLayer(caffe_pb2.LayerParameter(name="x", top=["t"]), context)
    return found, context


def wait_for(ahead):
    for _ in range(500):
        if ahead.waiting():
            return
        time.sleep(0.01)


def test_the_batch_behind_the_one_that_is_taken_is_sent_with_it(layer):
    data, context = layer
    lane = Lane()
    data._staging = Staging(context.device, lane)
    rows = []
    for _ in range(3):
        rows.append(data.forward([], [], context)[0].tolist())
        wait_for(data._ahead)
    assert rows == [[0, 0], [1, 1], [2, 2]]
    joins = [call for call in lane.calls if call.startswith("join")]
    assert joins == ["join 0", "join 1", "join 2"]
    # each was sent once, and batch 2 before it was asked for
    sent = [call for call in lane.calls if call.startswith("send")]
    assert sent[:3] == ["send 0", "send 1", "send 2"]
    assert len(sent) == len(set(sent))
    assert lane.calls.index("send 2") <= lane.calls.index("join 1") + 1


def test_a_state_that_is_set_anew_gives_its_own_batch(layer):
    data, context = layer
    data._staging = Staging(context.device, Lane())
    data.forward([], [], context)
    wait_for(data._ahead)
    context.state["row"] = 7
    assert data.forward([], [], context)[0].tolist() == [7, 7]


def test_nothing_waits_before_the_first_batch_and_behind_an_error():
    def read(state):
        if state["row"]:
            raise FileError("gone")
        return [np.zeros(1)], {"row": 1}

    ahead = Prefetcher(read, 2)
    assert ahead.waiting() == []
    ahead.take({"row": 0})
    time.sleep(0.05)
    assert ahead.waiting() == []
    with pytest.raises(FileError, match="gone"):
        ahead.take({"row": 1})
