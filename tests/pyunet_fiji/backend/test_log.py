"""The log's lines."""

import io
import re
import sys

import pytest

from pyunet_fiji.backend.log import log, start_log

LINE = re.compile(r"([IWEF])\d{8} \d\d:\d\d:\d\d\.\d{6} +\d+ (\S+:\d+)\] (.*)")


def test_a_line_is_as_glog_writes_it(capsys):
    start_log()
    log("tiled_predict.cpp:557", "Selected tiling ([z] y x): (1,2)")
    found = LINE.fullmatch(capsys.readouterr().err.rstrip("\n"))
    assert found is not None
    assert found.groups() == (
        "I",
        "tiled_predict.cpp:557",
        "Selected tiling ([z] y x): (1,2)",
    )


def test_a_failed_check_is_followed_by_the_line_of_its_trace(capsys):
    start_log()
    log("caffe_unet.cpp:1", "Check failed: 100 % wrong", "F")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("] Check failed: 100 % wrong")
    assert second == "*** Check failure stack trace: ***"


@pytest.mark.parametrize(
    ("level", "wanted"), [("0", "IWEF"), ("2", "EF"), ("7", "F"), ("x", "IWEF")]
)
def test_the_environment_says_the_least_level(level, wanted, monkeypatch, capsys):
    monkeypatch.setenv("GLOG_minloglevel", level)
    start_log()
    for letter in "IWEF":
        log("a.cpp:1", letter, letter)
    said = LINE.findall(capsys.readouterr().err)
    assert "".join(letter for letter, _, _ in said) == wanted


def test_a_flag_can_ask_for_less(capsys):
    start_log(1)
    log("a.cpp:1", "not said")
    assert not capsys.readouterr().err


@pytest.mark.parametrize("stream", [None, "closed"])
def test_nobody_needs_to_read(stream, monkeypatch):
    broken = io.StringIO()
    broken.close()
    monkeypatch.setattr(sys, "stderr", broken if stream else None)
    start_log()
    log("a.cpp:1", "into the void")
