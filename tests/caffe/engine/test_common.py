"""Random streams of the process, and the log."""

import re

import numpy as np
import torch

import caffe
from caffe.engine import common
from caffe.glog import log

CPU = torch.device("cpu")


def draws():
    streams = common.streams()
    return (
        torch.rand(3, generator=streams.generator(CPU)).tolist(),
        streams.rng.random(3).tolist(),
    )


def test_the_same_seed_gives_the_same_numbers():
    caffe.set_random_seed(4)
    first = draws()
    caffe.set_random_seed(4)
    assert draws() == first


def test_a_negative_seed_draws_another_each_time():
    caffe.set_random_seed(-1)
    first = draws()
    caffe.set_random_seed(-1)
    assert draws() != first


def test_restored_streams_go_on_where_they_were():
    draws()
    state = common.streams().state()
    first = draws()
    common.streams().restore({k: np.array(v) for k, v in state.items()})
    assert draws() == first


def test_the_state_of_the_streams_needs_no_pickle(tmp_path):
    path = tmp_path / "state.npz"
    np.savez(path, **common.streams().state())
    with np.load(path, allow_pickle=False) as file:
        assert "random/host" in file


def test_convolutions_on_a_gpu_are_not_rounded_to_tf32():
    common.allow_tf32(False)
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"


def test_a_log_line_has_the_form_of_glog(capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    log("net.cpp:59", "Initializing")
    line = capfd.readouterr().err
    assert re.fullmatch(
        r"I\d{8} \d\d:\d\d:\d\d\.\d{6} +\d+ net\.cpp:59\] Initializing\n", line
    )


def test_the_least_level_hides_what_is_below_it(capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "1")
    log("a.cpp:1", "information")
    log("a.cpp:1", "a warning", "W")
    err = capfd.readouterr().err
    assert "information" not in err
    assert "a warning" in err


def test_nothing_goes_to_the_standard_output(capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    log("a.cpp:1", "information")
    assert capfd.readouterr().out == ""
