"""The programs on the page for users of OpenCV run."""

import cv2
import numpy as np
import onnxruntime
import pytest

from caffe import dnn
from pyunet import cli
from tests.support import opencv_nets
from tests.support.doc_commands import ROOT, blocks, shown

PAGE = ROOT / "docs" / "from_opencv.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    cv2.imwrite("image.png", rng.integers(0, 256, (90, 120, 3), np.uint8))


def test_the_program_prints_detections(files, tmp_path, capsys):
    opencv_nets.ssd(tmp_path, depthwise=True)
    (tmp_path / "net.caffemodel").rename(tmp_path / "weights.caffemodel")
    (program,) = blocks(TEXT, "{.python .program}")
    exec(compile(program, str(PAGE), "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(float(line.split()[1]) > 0.5 for line in lines)


def exported(number):
    lines = [each for each in shown(PAGE) if each.words[:2] == ("pyunet", "export")]
    assert cli.main(lines[number].words[1:]) in (0, None)


def test_what_is_exported_is_read_by_opencv(files, tmp_path):
    opencv_nets.googlenet(tmp_path)
    (tmp_path / "net.caffemodel").rename(tmp_path / "weights.caffemodel")
    exported(0)
    (program,) = blocks(TEXT, "{.python .opencv}")
    names = {}
    exec(compile(program, str(PAGE), "exec"), names)
    assert not names["net"].empty()


class OfOnnxRuntime:
    """A net of OpenCV 5, which takes constants for outputs, as OpenCV 4 does not."""

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path)

    def setInput(self, blob):
        self.blob = blob

    def forward(self, names):
        return self.session.run(names, {"data": self.blob})


def test_the_boxes_of_an_ssd_are_those_of_its_last_layer(
    files, tmp_path, monkeypatch, capsys
):
    opencv_nets.ssd(tmp_path, depthwise=True, keep=500)
    (tmp_path / "net.caffemodel").rename(tmp_path / "weights.caffemodel")
    exported(1)
    if int(cv2.__version__.partition(".")[0]) < 5:
        monkeypatch.setattr(cv2.dnn, "readNetFromONNX", OfOnnxRuntime)
    capsys.readouterr()
    (program,) = blocks(TEXT, "{.python .decoding}")
    names = {}
    exec(compile(program, str(PAGE), "exec"), names)
    lines = capsys.readouterr().out.split("\n")
    found = sorted(float(line.split()[1]) for line in lines if line)
    net = dnn.readNetFromCaffe("deploy.prototxt", "weights.caffemodel")
    net.setInput(dnn.blobFromImage(names["image"], 0.007843, (48, 48), 127.5))
    scores = net.forward()[0, 0, :, 2]
    assert len(found) > 5
    np.testing.assert_allclose(found, sorted(scores[scores > 0]), 1e-4)
