"""Average precision by hand, and in the log of a solver's test."""

import numpy as np
import pytest

import caffe
from caffe.engine.solvers.detection import average_precision
from caffe.errors import CheckError
from caffe.proto import caffe_pb2

NET = """
layer { name: "det" type: "Input" top: "det" input_param { shape { dim: 1 dim: 1
  dim: 4 dim: 7 } } include { phase: TEST } }
layer { name: "gt" type: "Input" top: "gt" input_param { shape { dim: 1 dim: 1
  dim: 3 dim: 8 } } include { phase: TEST } }
layer { name: "eval" type: "DetectionEvaluate" bottom: "det" bottom: "gt"
  top: "detection_eval" detection_evaluate_param { num_classes: 4 }
  include { phase: TEST } }
layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 1 } } }
layer { name: "loss" type: "Reduction" bottom: "w" top: "loss" loss_weight: 1
  include { phase: TRAIN } }
layer { name: "silence" type: "Silence" bottom: "w" include { phase: TEST } }
"""
LEFT, RIGHT = [0, 0, 0.4, 1], [0.5, 0, 0.9, 1]


def solver(**options):
    param = caffe_pb2.SolverParameter(
        base_lr=0.1,
        lr_policy="fixed",
        max_iter=1,
        test_iter=[2],
        test_interval=1,
        eval_type="detection",
        **options,
    )
    param.net_param.CopyFrom(caffe.parse_net(NET))
    return caffe.SGDSolver(param)


def filled(**options):
    made = solver(**options)
    blobs = made.test_nets[0].blobs
    blobs["gt"].data[...] = [
        [0, 1, 0, *LEFT, 0],
        [0, 1, 0, *RIGHT, 0],
        [0, 2, 0, *RIGHT, 0],
    ]
    blobs["det"].data[...] = [
        [0, 1, 0.9, *LEFT],
        [0, 1, 0.8, *LEFT],
        [0, 1, 0.7, *RIGHT],
        [0, 2, 0.5, *LEFT],
    ]
    return made


def rows(text: str) -> list[str]:
    return [line.split("] ", 1)[1] for line in text.splitlines() if "] " in line]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        # precisions 1, 1/2, 2/3, 1/2, 3/5 at recalls 1/4, 1/4, 1/2, 1/2, 3/4
        ("Integral", (1 + 2 / 3 + 3 / 5) / 4),
        ("MaxIntegral", (1 + 2 / 3 + 3 / 5) / 4),
        ("11point", (3 * 1 + 3 * 2 / 3 + 2 * 3 / 5) / 11),
    ],
)
def test_by_hand(version, expected):
    scores, true = [0.5, 0.9, 0.8, 0.6, 0.7], [1, 1, 0, 0, 1]
    value = average_precision(np.array(scores), np.array(true), 4, version)
    assert value == pytest.approx(expected, rel=1e-6)


def test_the_largest_precision_of_more_recall_counts():
    # precisions 0, 1/2, 2/3 at recalls 0, 1/2, 1
    scores, true = np.array([0.9, 0.8, 0.7]), np.array([0, 1, 1])
    assert average_precision(scores, true, 2, "Integral") == pytest.approx(7 / 12)
    assert average_precision(scores, true, 2, "MaxIntegral") == pytest.approx(2 / 3)
    assert average_precision(scores, true, 2, "11point") == pytest.approx(2 / 3)


def test_the_log_has_the_mean_and_each_class(capfd):
    made = filled(show_per_class_result=True)
    capfd.readouterr()
    made.test_all()
    # class 1: true, false, true, twice, of four boxes; class 3 has no detections
    first = (1 + 1 + 3 / 5 + 4 / 6) / 4
    found = rows(capfd.readouterr().err)
    assert found[0] == "Iteration 0, Testing net (#0)"
    found = [line for line in found if "source layer" not in line]
    assert found[1] == f"class1: {first:.6g}"
    assert found[2:4] == ["class2: 0", "Missing true_pos for label: 3"]
    assert found[4:] == [f"    Test net output #0: detection_eval = {first / 3:.6g}"]


def test_watchers_are_told_the_mean():
    made, told = filled(), []

    class Watcher(caffe.engine.solvers.report.Watcher):
        def tested(self, iteration, index, values):
            told.append((iteration, index, values))

    made.watchers.append(Watcher())
    made.test_all()
    [(iteration, index, [(name, value)])] = told
    assert (iteration, index, name) == (0, 0, "detection_eval")
    assert value == pytest.approx((2.6 + 2 / 3) / 12)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"eval_type": "guessing"}, "Unknown evaluation type: guessing"),
        ({"ap_version": "12point"}, "Unknown ap_version: 12point"),
    ],
)
def test_evaluations_that_there_are_not_are_refused(options, complaint):
    param = caffe_pb2.SolverParameter(base_lr=0.1, lr_policy="fixed", **options)
    param.net_param.CopyFrom(caffe.parse_net(NET))
    with pytest.raises(CheckError, match=complaint):
        caffe.SGDSolver(param)


def test_outputs_that_are_no_detections_are_refused():
    param = caffe_pb2.SolverParameter(
        base_lr=0.1, lr_policy="fixed", test_iter=[1], test_interval=1
    )
    param.eval_type = "detection"
    param.net_param.CopyFrom(
        caffe.parse_net(
            NET.split("layer")[0]
            + """
    layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 3 } } }
    layer { name: "loss" type: "Reduction" bottom: "w" top: "loss" loss_weight: 1 }
    """
        )
    )
    made = caffe.SGDSolver(param)
    with pytest.raises(CheckError, match=r"output 'loss'.*expected 5 numbers a row"):
        made.test_all()
