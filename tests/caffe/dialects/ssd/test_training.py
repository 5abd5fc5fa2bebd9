"""A little SSD learns to find squares."""

import re

import pytest

import caffe
from caffe.cli.convert_annoset import main
from tests.support.shapes_set import write_squares

DATA = """
layer {{ name: "data" type: "AnnotatedData" top: "data" top: "label"
  include {{ phase: {phase} }}
  transform_param {{ mean_value: 125 scale: 0.01 {transform}
    resize_param {{ height: 48 width: 48 }} }}
  data_param {{ source: "{source}" batch_size: {batch} backend: LMDB }}
  annotated_data_param {{ {sampler} }} }}
"""
CONVOLUTION = """
layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
  convolution_param {{ num_output: {count} kernel_size: 3 pad: 1 stride: {stride}
    weight_filler {{ type: "msra" }} }} }}
"""
HEAD = """
layer {{ name: "{name}_perm" type: "Permute" bottom: "{name}" top: "{name}_perm"
  permute_param {{ order: 0 order: 2 order: 3 order: 1 }} }}
layer {{ name: "{name}_flat" type: "Flatten" bottom: "{name}_perm" top: "{name}_flat" }}
"""
REST = """
layer { name: "prior" type: "PriorBox" bottom: "c3" bottom: "data" top: "prior"
  prior_box_param { min_size: 12 max_size: 18 variance: 0.1 variance: 0.1
    variance: 0.2 variance: 0.2 } }
layer { name: "loss" type: "MultiBoxLoss" bottom: "loc_flat" bottom: "conf_flat"
  bottom: "prior" bottom: "label" top: "loss" include { phase: TRAIN }
  propagate_down: true propagate_down: true propagate_down: false propagate_down: false
  multibox_loss_param { num_classes: 3 code_type: CENTER_SIZE } }
layer { name: "rows" type: "Reshape" bottom: "conf_flat" top: "rows"
  reshape_param { shape { dim: 0 dim: -1 dim: 3 } } include { phase: TEST } }
layer { name: "p" type: "Softmax" bottom: "rows" top: "p" softmax_param { axis: 2 }
  include { phase: TEST } }
layer { name: "p_flat" type: "Flatten" bottom: "p" top: "p_flat"
  include { phase: TEST } }
layer { name: "out" type: "DetectionOutput" bottom: "loc_flat" bottom: "p_flat"
  bottom: "prior" top: "out" include { phase: TEST }
  detection_output_param { num_classes: 3 code_type: CENTER_SIZE keep_top_k: 50
    confidence_threshold: 0.01 nms_param { nms_threshold: 0.45 top_k: 100 } } }
layer { name: "eval" type: "DetectionEvaluate" bottom: "out" bottom: "label"
  top: "detection_eval" include { phase: TEST }
  detection_evaluate_param { num_classes: 3 } }
"""
SAMPLER = """
batch_sampler { max_sample: 1 max_trials: 1 }
batch_sampler { sampler { min_scale: 0.7 max_scale: 1 }
  sample_constraint { min_object_coverage: 1 } max_sample: 1 max_trials: 20 }
"""
TRANSFORM = """
mirror: true emit_constraint { emit_type: CENTER }
distort_param { brightness_prob: 0.5 brightness_delta: 15 }
expand_param { prob: 0.3 max_expand_ratio: 1.2 }
"""


def net_text() -> str:
    text = DATA.format(
        phase="TRAIN", source="train_db", batch=8, sampler=SAMPLER, transform=TRANSFORM
    ) + DATA.format(phase="TEST", source="test_db", batch=20, sampler="", transform="")
    bottom = "data"
    for name, count in (("c1", 16), ("c2", 24), ("c3", 32)):
        text += CONVOLUTION.format(name=name, bottom=bottom, count=count, stride=2)
        text += (
            f'layer {{ name: "r{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}'
        )
        bottom = name
    for name, count in (("loc", 8), ("conf", 6)):
        text += CONVOLUTION.format(name=name, bottom="c3", count=count, stride=1)
        text += HEAD.format(name=name)
    return text + REST


@pytest.mark.slow
def test_it_finds_nearly_all(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    caffe.set_random_seed(1)
    for name, count, seed in (("train", 200, 1), ("test", 60, 2)):
        write_squares(tmp_path / name, count, seed)
        flags = ["-anno_type", "detection", "-label_type", "txt", "-encoded"]
        assert main([*flags, f"{name}/", f"{name}/list.txt", f"{name}_db"]) == 0
    (tmp_path / "net.prototxt").write_text(net_text())
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" type: "Adam" base_lr: 0.004 lr_policy: "step" gamma: 0.1 '
        "stepsize: 80 momentum: 0.9 max_iter: 100 snapshot_after_train: false "
        "test_iter: 3 test_interval: 100 test_initialization: false random_seed: 1 "
        'eval_type: "detection" ap_version: "11point" show_per_class_result: true'
    )
    solver = caffe.get_solver("solver.prototxt")
    capfd.readouterr()
    solver.solve()
    log = capfd.readouterr().err
    found = re.findall(r"Test net output #0: detection_eval = ([\d.]+)", log)
    assert len(re.findall(r"\] class\d: ", log)) == 2
    assert float(found[-1]) > 0.9
