"""The programs on the page for users of OpenCV run."""

import cv2
import numpy as np
import pytest

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


def test_what_is_exported_is_read_by_opencv(files, tmp_path):
    opencv_nets.googlenet(tmp_path)
    (tmp_path / "net.caffemodel").rename(tmp_path / "weights.caffemodel")
    (line,) = [each for each in shown(PAGE) if each.words[:2] == ("pyunet", "export")]
    assert cli.main(line.words[1:]) in (0, None)
    (program,) = blocks(TEXT, "{.python .opencv}")
    names = {}
    exec(compile(program, str(PAGE), "exec"), names)
    assert not names["net"].empty()
