"""pyunet stands on the names that caffe makes public."""

import ast
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

import caffe
import caffe.proto.caffe_pb2
import pyunet
from pyunet.cli import main
from tests.support.caffe_facade import facade

REFERENCE = Path(__file__).parents[1] / "reference" / "tiled" / "unet2d"
SOURCES = sorted(Path(pyunet.__file__).parent.rglob("*.py"))
PUBLIC = {*caffe.__all__, "__file__", "__version__"}


def use_facade(monkeypatch):
    for name in [n for n in sys.modules if n == "caffe" or n.startswith("caffe.")]:
        monkeypatch.delitem(sys.modules, name)
    for name, module in facade(caffe).items():
        monkeypatch.setitem(sys.modules, name, module)


def segment(out):
    return main([
        "segment", "--model", str(REFERENCE), "--out", str(out),
        "--weights", str(REFERENCE / "weights.caffemodel"), "--tile-size", "24",
        str(out.parent / "cells.tif"),
    ])  # fmt: skip


@pytest.fixture
def cells(tmp_path):
    with h5py.File(REFERENCE / "input_0.h5") as file:
        image = file["data"][0, 0]
    image = (image - image.min()) / (image.max() - image.min())
    tifffile.imwrite(tmp_path / "cells.tif", image)
    return tmp_path


def test_segmentation_needs_only_bvlcs_names_and_gives_the_same(
    cells, monkeypatch, capsys
):
    assert segment(cells / "ours") == 0
    assert "using the caffe of" not in capsys.readouterr().err
    use_facade(monkeypatch)
    assert segment(cells / "theirs") == 0
    said = capsys.readouterr().err.strip().splitlines()
    assert said == ["using the caffe of /somewhere/python/caffe/__init__.py"]
    ours, theirs = (
        tifffile.imread(cells / name / "cells_scores.tif")
        for name in ("ours", "theirs")
    )
    np.testing.assert_array_equal(ours, theirs)


def test_a_foreign_engine_that_cannot_load_its_net_is_one_line(
    cells, monkeypatch, capsys
):
    use_facade(monkeypatch)

    def refuse(*_, **__):
        raise RuntimeError("Could not open file\nweights")

    monkeypatch.setattr(sys.modules["caffe"], "Net", refuse)
    assert segment(cells / "out") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("pyunet segment: ")
    assert "deploy.prototxt" in last
    assert last.endswith(r"Could not open file\nweights")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_sources_name_nothing_that_caffe_does_not_make_public(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("caffe"):
            if node.module == "caffe":
                assert {a.name for a in node.names} <= PUBLIC, ast.unparse(node)
            else:
                assert node.module.removeprefix("caffe.") in PUBLIC, ast.unparse(node)
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names if a.name.startswith("caffe.")]
            assert names == [], ast.unparse(node)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert node.value.id != "caffe" or node.attr in PUBLIC, node.attr
