"""What is said of a layer type is said by its class."""

import ast
from pathlib import Path

import caffe

ROOT = Path(caffe.__file__).parent
OWN = ("engine/layers/", "proto/", "dialects/")
ALLOWED = {
    "coord_map.py": "pycaffe's public rules, for nets that are being written",
    "dnn/layers.py": "OpenCV has habits of its own with some types",
    "draw.py": "pycaffe's labels of pictures",
    "net_spec.py": "pycaffe names the messages of options by types",
    "engine/graph.py": "Caffe adds Split layers to nets",
    "export/layers.py": "tells the Split layers that Caffe adds",
    "engine/onnx/": "operators of ONNX that bear the same names",
    "export/onnx/translation.py": "operators of ONNX that bear the same names",
}


def test_no_type_is_named_outside_the_layer_classes():
    types = set(caffe.layer_type_list())
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(OWN):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in types:
                found.setdefault(name, set()).add(node.value)
    named = {place for place in ALLOWED if any(n.startswith(place) for n in found)}
    wrong = {n: t for n, t in found.items() if not n.startswith(tuple(ALLOWED))}
    assert not wrong, "ask the class (caffe.engine.layer.Operator) instead"
    assert named == set(ALLOWED), "these places need no exception any more"
