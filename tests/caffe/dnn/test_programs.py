"""Programs as people wrote them for cv2.dnn, with OpenCV's module and with ours."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from caffe import dnn
from tests.support import opencv_nets as nets

pytestmark = pytest.mark.skipif(
    not hasattr(cv2.dnn, "readNetFromCaffe"), reason="OpenCV 5 reads no Caffe nets"
)
TOLERANCE = 1e-4
IMAGE = np.random.default_rng(7).integers(0, 256, (60, 80, 3)).astype(np.uint8)
# structure that detectors can score differently from place to place
IMAGE[20:40, 30:60] //= 4


def check(program: Any, *args: Any) -> Any:
    """Run a program with both modules, compare all that it gives, and return ours."""
    ours, theirs = program(dnn, *args), program(cv2.dnn, *args)
    compare(ours, theirs)
    return ours


def compare(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, np.ndarray):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours, theirs, TOLERANCE, TOLERANCE)
    elif isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            compare(mine, other)
    else:
        assert ours == theirs


def test_a_classifier_prints_its_five_best_classes(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        net = cv_dnn.readNetFromCaffe(prototxt, model)
        blob = cv_dnn.blobFromImage(IMAGE, 1, (32, 32), (104, 117, 123))
        net.setInput(blob)
        preds = net.forward()
        return preds, np.argsort(preds[0])[::-1][:5]

    scores, _ = check(program, *nets.googlenet(tmp_path))
    assert np.ptp(scores) > 0.01


@pytest.mark.parametrize("size", [(48, 48), (64, 40)])
@pytest.mark.parametrize("depthwise", [False, True], ids=["res10", "MobileNet-SSD"])
def test_a_detector_goes_through_its_rows(tmp_path, depthwise, size):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        net = cv_dnn.readNetFromCaffe(prototxt, model)
        scaled = (0.007843, size, 127.5) if depthwise else (1.0, size, (104, 177, 123))
        net.setInput(cv_dnn.blobFromImage(cv2.resize(IMAGE, size), *scaled))
        detections = net.forward()
        h, w = IMAGE.shape[:2]
        rows = []
        for i in range(detections.shape[2]):
            if detections[0, 0, i, 2] > 0.45:
                box = detections[0, 0, i, 3:7] * np.array([w, h, w, h])
                rows.append((int(detections[0, 0, i, 1]), box))
        return detections, rows

    detections, _ = check(program, *nets.ssd(tmp_path, depthwise=depthwise))
    assert np.unique(detections[0, 0, :, 2]).size > 3


def test_detections_of_a_batch_are_filled_up_with_zeros(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        net = cv_dnn.readNet(prototxt, model)
        images = [IMAGE, IMAGE[::-1], IMAGE[:, ::-1]]
        net.setInput(cv_dnn.blobFromImages(images, 0.02, (48, 48), (90, 90, 90)))
        return net.forward()

    found = check(program, *nets.ssd(tmp_path, depthwise=True, keep=200))
    assert found.shape == (1, 1, 600, 7)
    assert not found[0, 0, -1].any()


def test_a_segmentation_takes_the_best_class_of_each_pixel(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        net = cv_dnn.readNet(model, prototxt)
        net.setInput(cv_dnn.blobFromImage(IMAGE, 1 / 255, (40, 28), swapRB=True))
        score = net.forward()
        return score, np.argmax(score[0], axis=0)

    scores, _ = check(program, *nets.segmenter(tmp_path))
    assert scores.shape == (1, 5, 28, 40)


def test_a_pose_is_where_the_heat_maps_are_largest(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        net = cv_dnn.readNetFromCaffe(prototxt, model)
        net.setPreferableBackend(cv_dnn.DNN_BACKEND_OPENCV)
        net.setPreferableTarget(cv_dnn.DNN_TARGET_CPU)
        width = int(32 * IMAGE.shape[1] / IMAGE.shape[0])
        blob = cv_dnn.blobFromImage(
            IMAGE, 1.0 / 255, (width, 32), (0, 0, 0), swapRB=False, crop=False
        )
        net.setInput(blob)
        output = net.forward()
        points = [cv2.minMaxLoc(output[0, i])[3] for i in range(output.shape[1])]
        return output, points, net.getLayerNames()

    check(program, *nets.poses(tmp_path))


def test_two_nets_tell_age_and_gender_of_a_face(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        age, gender = (cv_dnn.readNet(model, prototxt) for _ in range(2))
        mean = (78.4263377603, 87.7689143744, 114.895847746)
        blob = cv_dnn.blobFromImage(IMAGE[5:50, 8:70], 1.0, (27, 27), mean, False)
        gender.setInput(blob)
        age.setInput(blob)
        return gender.forward(), age.forward()[0].argmax()

    check(program, *nets.ages(tmp_path))


def test_a_program_for_colours_sets_blobs_of_layers(tmp_path):
    points = np.random.default_rng(3).normal(0, 50, (2, 13, 1, 1)).astype(np.float32)

    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        net = cv_dnn.readNetFromCaffe(prototxt, model)
        class8, conv8 = net.getLayerId("class8_ab"), net.getLayerId("conv8_313_rh")
        net.getLayer(class8).blobs = [points]
        net.getLayer(conv8).blobs = [np.full([1, 13], 2.606, np.float32)]
        lab = cv2.cvtColor(IMAGE.astype("float32") / 255, cv2.COLOR_BGR2LAB)
        lightness = cv2.split(cv2.resize(lab, (32, 32)))[0] - 50
        net.setInput(cv_dnn.blobFromImage(lightness))
        return net.forward()[0, :, :, :].transpose((1, 2, 0))

    check(program, *nets.colours(tmp_path))


def test_a_style_is_painted_on_an_image_of_its_own_size(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        net = cv_dnn.readNetFromCaffe(prototxt, model)
        h, w = IMAGE.shape[:2]
        mean = (103.939, 116.779, 123.680)
        net.setInput(cv_dnn.blobFromImage(IMAGE, 0.01, (w, h), mean))
        return net.forward().reshape(3, h, w).transpose(1, 2, 0)

    check(program, *nets.styles(tmp_path))


def test_a_yolo_is_asked_for_its_unconnected_outputs(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        net = cv_dnn.readNet(model, prototxt)
        names = net.getLayerNames()
        ends = [names[i - 1] for i in net.getUnconnectedOutLayers()]
        assert ends == list(net.getUnconnectedOutLayersNames())
        net.setInput(cv_dnn.blobFromImage(IMAGE, 1 / 255, (32, 32), swapRB=True))
        outputs = net.forward(ends)
        rows = np.concatenate([o.reshape(6, -1).T for o in outputs])
        boxes = (rows[:, :4] * [80, 60, 40, 30]).astype(int).tolist()
        kept = cv_dnn.NMSBoxes(boxes, rows[:, 4].tolist(), 0.3, 0.4)
        return outputs, kept, np.array(kept).flatten()

    check(program, *nets.several_outputs(tmp_path, [("y0", 6), ("y1", 6), ("y2", 6)]))


def test_a_text_detector_has_scores_and_geometry(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        net = cv_dnn.readNet(prototxt, model, "caffe")
        mean = (123.68, 116.78, 103.94)
        net.setInput(cv_dnn.blobFromImage(IMAGE, 1.0, (32, 32), mean, True, False))
        scores, geometry = net.forward(["scores", "geometry"])
        return scores, geometry, net.forward("geometry")

    check(program, *nets.several_outputs(tmp_path, [("geometry", 5), ("scores", 1)]))


def test_a_video_changes_its_size(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        net = cv_dnn.readNetFromCaffe(prototxt, model)
        found = []
        for height, width in [(24, 24), (40, 32), (40, 32), (16, 56), (24, 24)]:
            frame = cv2.resize(IMAGE, (width, height))
            net.setInput(cv_dnn.blobFromImage(frame), "data", 0.01, (90, 100, 110))
            found.append(net.forward())
            ticks, _ = net.getPerfProfile()
            assert ticks * 1000.0 / cv2.getTickFrequency() > 0
        return found

    check(program, *nets.styles(tmp_path))


def test_a_batch_of_images_is_embedded_by_a_layer_in_the_middle(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        with open(prototxt, "rb") as text, open(model, "rb") as weights:
            buffers = [np.frombuffer(f.read(), np.uint8) for f in (text, weights)]
        net = cv_dnn.readNetFromCaffe(*buffers)
        images = [IMAGE, IMAGE[::-1], IMAGE[:, ::-1]]
        net.setInput(cv_dnn.blobFromImages(images, 0.01, (32, 32), crop=True))
        return net.forward("pool5"), net.forward("conv1/7x7_s2"), net.forward()

    check(program, *nets.googlenet(tmp_path))


def test_outputs_of_layers_in_place_are_those_of_each_layer(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        found = []
        for name in ["res_scale", "res_b", "res_a_relu", "res_a", "down", "deprocess"]:
            net = cv_dnn.readNetFromCaffe(prototxt, model)
            net.setInput(cv_dnn.blobFromImage(IMAGE, 0.02, (24, 24), (90, 90, 90)))
            found.append(net.forward(name))
        return found

    found = check(program, *nets.styles(tmp_path))
    assert found[3].min() < 0 <= found[2].min()


def test_all_outputs_of_layers_are_retrieved(tmp_path):
    def program(cv_dnn: ModuleType, prototxt: str, model: str) -> Any:
        net = cv_dnn.readNetFromCaffe(prototxt, model)
        net.setInput(cv_dnn.blobFromImage(IMAGE, 0.02, (32, 32)))
        return net.forwardAndRetrieve(["b", "a_conv"])

    check(program, *nets.several_outputs(tmp_path, [("a", 2), ("b", 3)]))
