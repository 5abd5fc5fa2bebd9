"""One net in several threads: right answers, or an error that says what to do."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import caffe

THREADS, RESULTS = 8, 48
NET = """
name: "shared"
layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 1 dim: 2 dim: 48 dim: 48 } } }
layer { name: "a" type: "Convolution" bottom: "x" top: "a" convolution_param {
  num_output: 16 kernel_size: 3 pad: 1 weight_filler { type: "constant" value: 1 } } }
layer { name: "r" type: "ReLU" bottom: "a" top: "a" }
layer { name: "y" type: "Convolution" bottom: "a" top: "y" convolution_param {
  num_output: 1 kernel_size: 1 weight_filler { type: "constant" value: 1 } } }
"""
INSIDE = 2 * 9 * 16  # times the value of an image that is the same everywhere


@pytest.fixture
def build(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return lambda phase=caffe.TEST: caffe.Net(str(path), phase)


def image(value):
    return np.full((1, 2, 48, 48), value, np.float32)


def in_another_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@pytest.mark.parametrize("way", ["forward", "forward_all"])
def test_eight_threads_that_give_their_inputs_get_their_own_answers(build, way):
    net = build()
    together = threading.Barrier(THREADS)

    def work(thread):
        together.wait()
        found = []
        for value in range(thread, RESULTS, THREADS):
            top = getattr(net, way)(x=image(value))["y"]
            # its own next call may use the memory again, as in pycaffe
            found.append((value, top.copy()))
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        results = [pair for found in pool.map(work, range(THREADS)) for pair in found]
    assert len(results) == RESULTS
    for value, top in results:
        assert (top[..., 1:-1, 1:-1] == INSIDE * value).all()


def test_what_one_thread_was_given_stays_when_another_asks(build):
    net = build()
    mine = net.forward(x=image(1))["y"]
    assert mine is not net.blobs["y"].data
    assert np.shares_memory(mine, net.blobs["y"].data)
    theirs = in_another_thread(lambda: net.forward(x=image(2))["y"])
    assert mine[0, 0, 5, 5] == INSIDE
    assert theirs[0, 0, 5, 5] == net.blobs["y"].data[0, 0, 5, 5] == 2 * INSIDE


def test_in_one_thread_outputs_stay_the_blobs_memory(build):
    net = build()
    first = net.forward(x=image(1))["y"]
    net.forward(x=image(3))
    assert first[0, 0, 5, 5] == 3 * INSIDE


@pytest.mark.parametrize(
    "call",
    [
        lambda net: net.forward(),
        lambda net: net.backward(),
        lambda net: net.reshape(),
        lambda net: net.forward_backward(),
        lambda net: net.forward_loss(),
    ],
)
def test_who_comes_while_another_thread_is_at_work_is_told_so(build, call):
    net = build(caffe.TRAIN)
    at_work, done = threading.Event(), threading.Event()

    def stop_inside(number):
        at_work.set()
        assert done.wait(60)

    net.after_forward(stop_inside)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(net.forward)
        assert at_work.wait(60)
        try:
            with pytest.raises(caffe.CaffeError, match="net 'shared' is at work") as e:
                call(net)
            assert "a net belongs to one thread at a time" in str(e.value)
        finally:
            done.set()
        other.result()
    call(net)  # now it is free


def test_a_net_may_be_handed_on(build):
    net = build()
    net.blobs["x"].data[...] = image(4)
    top = in_another_thread(lambda: net.forward()["y"])
    assert top[0, 0, 5, 5] == 4 * INSIDE
    assert net.forward()["y"][0, 0, 5, 5] == 4 * INSIDE


def test_an_error_gives_the_turn_back(build):
    net = build()
    with pytest.raises(caffe.CheckError):
        net.forward(x=np.zeros((3, 2, 48, 48)))
    assert in_another_thread(lambda: net.forward(x=image(1)))["y"].shape[1] == 1
