"""The log's lines."""

import io
import re
import sys

import pytest

from caffe.glog import log

LINE = re.compile(r"([IWEF])\d{8} \d\d:\d\d:\d\d\.\d{6} +\d+ (\S+:\d+)\] (.*)")


def test_a_line_is_as_glog_writes_it(capsys):
    log("tiled_predict.cpp:557", "Selected tiling ([z] y x): (1,2)")
    match = LINE.fullmatch(capsys.readouterr().err.rstrip("\n"))
    assert match is not None
    assert match.groups() == (
        "I",
        "tiled_predict.cpp:557",
        "Selected tiling ([z] y x): (1,2)",
    )


@pytest.mark.parametrize(
    ("level", "expected"), [("0", "IWEF"), ("2", "EF"), ("7", "F"), ("x", "IWEF")]
)
def test_the_environment_says_the_least_level(level, expected, monkeypatch, capsys):
    monkeypatch.setenv("GLOG_minloglevel", level)
    for letter in "IWEF":
        log("a.cpp:1", letter, letter)
    written = LINE.findall(capsys.readouterr().err)
    assert "".join(letter for letter, _, _ in written) == expected


@pytest.mark.parametrize("stream", [None, "closed"])
def test_nobody_needs_to_read(stream, monkeypatch):
    broken = io.StringIO()
    broken.close()
    monkeypatch.setattr(sys, "stderr", broken if stream else None)
    log("a.cpp:1", "into the void")
