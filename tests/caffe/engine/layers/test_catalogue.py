"""The catalogue and its tests stay together."""

import ast
from pathlib import Path

import caffe.engine.layers  # noqa: F401 (fills the catalogue)
from caffe.engine.layer import layer_class, layer_type_list

HERE = Path(__file__).parent


def _test_classes() -> dict[str, str]:
    return {
        node.name: path.stem
        for path in HERE.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    }


def test_every_type_has_a_test_class_in_the_file_of_its_family():
    classes = _test_classes()
    for name in layer_type_list():
        cls = layer_class(name)
        if not cls.__module__.startswith("caffe.engine.layers."):
            continue
        family = cls.__module__.rpartition(".")[2]
        assert classes.get(f"Test{name}") == f"test_{family}", name


def test_classes_are_named_after_their_type():
    for name in layer_type_list():
        cls = layer_class(name)
        if cls.__module__.startswith("caffe.engine.layers."):
            assert cls.__name__ == f"{name}Layer"
