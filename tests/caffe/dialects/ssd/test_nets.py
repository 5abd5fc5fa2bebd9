"""Nets of SSD in OpenCV and, written as ONNX, in ONNX Runtime: the same boxes."""

import numpy as np
import pytest

import caffe
import caffe.export
from caffe.errors import NoCounterpartError
from tests.support.exports import assert_near
from tests.support.fork_nets import NETS, filled_net
from tests.support.forks import REFERENCE
from tests.support.stored import load_arrays

NAMES = ["mobilenet_ssd", "res10_ssd_face"]
# ONNX has no threshold that changes, and no rows for images without detections
OTHERS = ["detectionoutput_07", "detectionoutput_17", "detectionoutput_10",
          "detectionoutput_16"]  # fmt: skip
CASES = [
    path
    for kind in ("Permute", "PriorBox", "Normalize", "DetectionOutput")
    for path in sorted((REFERENCE / kind).glob("*.npz"))
    if path.stem not in OTHERS
]


def in_onnx_runtime(net, path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    caffe.export.to_onnx(net, path)
    session = onnxruntime.InferenceSession(str(path))
    given = {item.name for item in session.get_inputs()}
    inputs = {name: net.blobs[name].data for name in net.inputs if name in given}
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def in_order(rows):
    """Rows of detections by class and score; OpenCV adds empty ones."""
    rows = rows.reshape(-1, 7)
    rows = rows[rows[:, 2] > 0]
    return rows[np.lexsort((-rows[:, 2], rows[:, 1], rows[:, 0]))]


@pytest.mark.parametrize("name", NAMES)
def test_the_boxes_are_opencvs(name, tmp_path):
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV reads no Caffe models")
    net = filled_net(NETS / name)
    net.forward()
    net.save(str(tmp_path / "net.caffemodel"))
    other = cv2.dnn.readNetFromCaffe(
        str(NETS / name / "deploy.prototxt"), str(tmp_path / "net.caffemodel")
    )
    other.setInput(net.blobs["data"].data)
    ours = in_order(net.blobs["detection_out"].data)
    assert len(ours) > 10
    np.testing.assert_allclose(ours, in_order(other.forward()), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_boxes_are_those_of_onnx_runtime(name, tmp_path):
    net = filled_net(NETS / name)
    net.forward()
    ours = net.blobs["detection_out"].data.copy()
    (found,) = in_onnx_runtime(net, tmp_path / "net.onnx").values()
    np.testing.assert_allclose(found, ours, atol=1e-4)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_layer_is_the_same_in_onnx(path, tmp_path):
    case = load_arrays(path)
    net = caffe.Net(caffe.parse_net(str(case["prototxt"])), caffe.TEST)
    for blob in net.params.get("under_test", ()):
        blob.data[...] = case["param.0"]
    for name in net.inputs:
        net.blobs[name].data[...] = case[f"in.{name}"]
    found = in_onnx_runtime(net, tmp_path / "net.onnx")
    assert_near(found["y"], case["out.y"], 1e-5)


@pytest.mark.parametrize("name", ["detectionoutput_07", "detectionoutput_10"])
def test_what_onnx_cannot_say_is_refused(name, tmp_path):
    pytest.importorskip("onnx")
    case = load_arrays(REFERENCE / "DetectionOutput" / f"{name}.npz")
    net = caffe.Net(caffe.parse_net(str(case["prototxt"])), caffe.TEST)
    with pytest.raises(NoCounterpartError, match="has no counterpart in ONNX"):
        caffe.export.to_onnx(net, tmp_path / "net.onnx")
