"""pyunet stands on the names that caffe makes public."""

import ast
from pathlib import Path

import pytest

import caffe
import caffe.proto.caffe_pb2
import pyunet

SOURCES = sorted(Path(pyunet.__file__).parent.rglob("*.py"))
PUBLIC = {*caffe.__all__, "__file__", "__version__"}


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
