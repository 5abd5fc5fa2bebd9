import gc
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import torch

from caffe.engine.sources.prefetch import (
    Prefetcher,
    PrefetchingLayer,
    _end_all,
    draws,
)
from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2
from tests.support.layers import make_context


class Counting:
    """Batch n is the number n; 7 can't be read."""

    def __init__(self, pause=0.0):
        self.pause = pause
        self.read_rows = []

    def first_state(self):
        return {"row": 0, "order": np.arange(3)}

    def read(self, state):
        row = int(state["row"])
        time.sleep(self.pause)
        if row == 7:
            raise FileError("list.txt: row 7 can't be read")
        self.read_rows.append(row)
        return [np.full(2, row, np.float32)], {**state, "row": row + 1}


class CountingLayer(PrefetchingLayer):
    def reader(self, param, context):
        return Counting()


def workers():
    return [t for t in threading.enumerate() if t.name == "caffe-prefetch"]


def wait_until(condition):
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("did not happen within 10 s")


def take(ahead, state, count):
    rows = []
    for _ in range(count):
        tops, state = ahead.take(state)
        rows.append(int(tops[0][0]))
    return rows, state


class TestPrefetcher:
    @pytest.mark.parametrize("pause", [0.0, 0.003])
    @pytest.mark.parametrize("depth", [1, 4])
    def test_gives_the_batches_that_reading_one_by_one_gives(self, depth, pause):
        ahead = Prefetcher(Counting(pause).read, depth)
        assert take(ahead, {"row": 0}, 6)[0] == [0, 1, 2, 3, 4, 5]

    def test_reads_as_many_ahead_as_it_may(self):
        reader = Counting()
        ahead = Prefetcher(reader.read, 3)
        ahead.take({"row": 0})
        wait_until(lambda: reader.read_rows == [0, 1, 2, 3])
        time.sleep(0.02)
        assert reader.read_rows == [0, 1, 2, 3]

    def test_peeking_keeps_the_batch(self):
        ahead = Prefetcher(Counting().read, 2)
        assert ahead.peek({"row": 2})[0][0][0] == 2
        assert take(ahead, {"row": 2}, 2)[0] == [2, 3]

    def test_starts_anew_where_a_state_from_outside_says(self):
        ahead = Prefetcher(Counting().read, 4)
        _, state = take(ahead, {"row": 0}, 2)
        assert take(ahead, {**state, "row": 5}, 2)[0] == [5, 6]

    def test_goes_on_when_the_same_state_is_given_back_as_arrays(self):
        reader = Counting()
        ahead = Prefetcher(reader.read, 4)
        _, state = take(ahead, reader.first_state(), 2)
        restored = {key: np.array(value) for key, value in state.items()}
        assert take(ahead, restored, 2)[0] == [2, 3]
        assert reader.read_rows.count(2) == 1

    def test_an_error_comes_when_its_batch_is_wanted_and_not_before(self):
        ahead = Prefetcher(Counting().read, 4)
        rows, state = take(ahead, {"row": 4}, 3)
        assert rows == [4, 5, 6]
        for _ in range(2):
            with pytest.raises(FileError, match=r"list.txt: row 7"):
                ahead.take(state)
        assert take(ahead, {"row": 8}, 1)[0] == [8]

    def test_its_thread_ends_with_it(self):
        before = set(workers())
        ahead = Prefetcher(Counting().read, 2)
        ahead.take({"row": 0})
        (thread,) = set(workers()) - before
        assert thread.daemon
        del ahead
        gc.collect()
        wait_until(lambda: not thread.is_alive())

    def test_all_threads_end_before_the_interpreter_does(self):
        ahead = Prefetcher(Counting().read, 2)
        _, state = ahead.take({"row": 0})
        _end_all()
        assert not any(thread.is_alive() for thread in workers())
        with pytest.raises(CheckError, match="nothing is read any more"):
            take(ahead, state, 5)

    def test_several_do_not_disturb_one_another(self):
        many = [Prefetcher(Counting(0.001).read, 2) for _ in range(5)]
        states = [{"row": 0}] * 5
        for step in range(5):
            for i, ahead in enumerate(many):
                tops, states[i] = ahead.take(states[i])
                assert tops[0][0] == step

    def test_a_program_ends_while_threads_read(self):
        text = (
            "import time; from caffe.engine.sources.prefetch import Prefetcher\n"
            "def read(s): time.sleep(0.2); return [], {'row': s['row'] + 1}\n"
            "ahead = Prefetcher(read, 100); ahead.take({'row': 0}); print('end')"
        )
        done = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


class TestPrefetchingLayer:
    def test_the_state_is_that_of_the_batches_given_so_far(self):
        context = make_context()
        layer = CountingLayer(caffe_pb2.LayerParameter(), context)
        assert layer.shapes([]) == [(2,)]
        assert context.state["row"] == 0
        (top,) = layer.forward([], [], context)
        assert (top.tolist(), top.dtype) == ([0, 0], torch.float32)
        assert context.state["row"] == 1

    def test_a_state_set_from_outside_is_followed(self):
        context = make_context()
        layer = CountingLayer(caffe_pb2.LayerParameter(), context)
        layer.forward([], [], context)
        context.state["row"] = np.array(4)
        assert layer.forward([], [], context)[0].tolist() == [4, 4]

    def test_is_collected_while_its_thread_waits(self):
        context = make_context()
        layer = CountingLayer(caffe_pb2.LayerParameter(), context)
        layer.forward([], [], context)
        gone = weakref.ref(layer)
        del layer
        gc.collect()
        assert gone() is None

    def test_refuses_to_read_nothing_ahead(self):
        param = caffe_pb2.LayerParameter()
        param.data_param.prefetch = 0
        with pytest.raises(CheckError, match="prefetch is 0: expected a number above"):
            CountingLayer(param, make_context())


def test_draws_differ_from_place_to_place():
    found = {int(draws(3, i, j).integers(2**60)) for i in range(5) for j in range(5)}
    assert len(found) == 25
