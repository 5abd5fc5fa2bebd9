"""What the errors of the package say is one line that can be shown."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import caffe
from caffe.engine.catalogue import layer_class
from caffe.errors import LONGEST, CaffeError, CheckError, OutOfMemoryError, one_line
from caffe.proto import caffe_pb2
from caffe.proto.text import parse_text


class TestOneLine:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("plain text: 'é' 日本", "plain text: 'é' 日本"),
            ("a\nb\r\tc", r"a\nb\r\tc"),
            ("\x1b[31mred\x00", r"\x1b[31mred\x00"),
            ("\ufeff\u202e\u2028\x85", r"\ufeff\u202e\u2028\x85"),
            ("caf\udce9", r"caf\udce9"),
            ("C:\\new", "C:\\new"),
        ],
    )
    def test_shows_what_cannot_be_seen(self, text, shown):
        assert one_line(text) == shown

    @pytest.mark.parametrize("size", [501, 999, 1000, 2001, 100_000])
    def test_leaves_out_the_middle_of_a_long_text(self, size):
        text = "".join(str(i % 10) for i in range(size))
        found = one_line(text)
        assert len(found) == LONGEST
        start, end = found.split(" ... ")
        assert text.startswith(start)
        assert text.endswith(end)
        assert one_line(text[:LONGEST]) == text[:LONGEST]

    def test_a_long_text_of_control_characters_is_short_too(self):
        assert len(one_line("\n" * 1500)) == LONGEST


class TestNames:
    @pytest.mark.parametrize("kind", [CaffeError, OutOfMemoryError])
    def test_every_error_says_one_line(self, kind):
        assert str(kind("a\nb")) == r"a\nb"

    def test_a_layer_name_with_a_newline_is_escaped_in_an_error(self):
        text = r'layer { name: "a\nF1130 b" type: "ReLU" bottom: "x\ry" top: "z" }'
        net = parse_text(text, caffe_pb2.NetParameter())
        with pytest.raises(CaffeError) as caught:
            caffe.Net(net, caffe.TEST)
        assert r"a\nF1130 b" in str(caught.value)
        assert str(caught.value).isprintable()

    def test_a_blob_of_a_thousand_axes_is_told_in_few_words(self):
        net = caffe_pb2.NetParameter()
        layer = net.layer.add(name="in", type="Input", top=["x"])
        layer.input_param.shape.add(dim=[1] * 1000)
        with pytest.raises(CaffeError) as caught:
            caffe.Net(net, caffe.TEST)
        assert len(str(caught.value)) <= LONGEST


def test_what_libraries_say_about_a_file_is_not_printed(tmp_path):
    """A list of one image that Pillow logs an error about, and warns about."""
    code = (
        "import logging, sys, warnings\n"
        "from caffe.cli import compute_image_mean as program, tools\n"
        "def work(words):\n"
        "    warnings.warn('odd palette')\n"
        "    logging.getLogger('PIL.TiffImagePlugin').error('odd samples')\n"
        "sys.exit(tools.run('program', 'usage', work, ['a']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class TestLog:
    FORGED = "a\nE20261130 12:00:00.000000     1 net.cpp:1] forged"

    def test_a_name_can_not_write_lines_of_its_own(self, capsys):
        net = caffe_pb2.NetParameter(name=self.FORGED)
        layer = net.layer.add(name=self.FORGED, type="Input", top=[self.FORGED])
        layer.input_param.shape.add(dim=[2])
        net.layer.add(
            name=f"{self.FORGED}2", type="ReLU", bottom=[self.FORGED], top=["\r\x1b[A"]
        )
        caffe.Net(net, caffe.TEST)
        printed = capsys.readouterr().err
        assert "\nE20261130" not in printed
        assert printed.replace("\n", "").isprintable()
        assert r"Creating Layer a\nE20261130" in printed

    def test_the_text_of_a_net_keeps_its_lines(self, capsys):
        net = parse_text('name: "n" force_backward: true', caffe_pb2.NetParameter())
        caffe.Net(net, caffe.TEST)
        assert '\nname: "n"\nforce_backward: true\n' in capsys.readouterr().err


class TestLayers:
    """What a library raises inside a layer is an error that names the layer."""

    @pytest.fixture
    def net(self):
        text = """
        layer { name: "in" type: "Input" top: "x"
          input_param { shape { dim: 1 dim: 2 dim: 3 dim: 3 } } }
        layer { name: "act" type: "Sigmoid" bottom: "x" top: "y" }
        """
        return caffe.Net(parse_text(text, caffe_pb2.NetParameter()), caffe.TEST)

    @pytest.mark.parametrize(
        "raised",
        [
            RuntimeError("Expected 4D\nother lines"),
            IndexError("out of range"),
            TypeError("argument 'stride' must be tuple of ints"),
            OverflowError("int too large"),
            ZeroDivisionError("division by zero"),
        ],
    )
    def test_in_forward(self, net, monkeypatch, raised):
        def forward(self, bottoms, params, context):
            raise raised

        monkeypatch.setattr(layer_class("Sigmoid"), "forward", forward)
        with pytest.raises(CheckError) as caught:
            net.forward()
        reason = str(raised).partition("\n")[0]
        text = f"layer 'act' (Sigmoid): can't be computed: {reason}"
        assert str(caught.value) == text
        assert caught.value.__cause__ is raised

    def test_too_little_memory_stays_what_it_is(self, net, monkeypatch):
        def forward(self, bottoms, params, context):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

        monkeypatch.setattr(layer_class("Sigmoid"), "forward", forward)
        with pytest.raises(OutOfMemoryError, match=r"layer 'act' .*out of memory"):
            net.forward()


def test_what_a_command_prints_about_an_error_is_one_short_line(tmp_path):
    solver = tmp_path / "solver.prototxt"
    solver.write_text(f'net: "{"x" * 4000}\\n\\r{"y" * 4000}"')
    done = subprocess.run(
        [sys.executable, "-m", "caffe", "train", "-solver", str(solver)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GLOG_minloglevel": "1"},
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.isprintable()
    assert len(line) <= 600
    assert "--debug" not in line
