"""The lines of `debug_info`."""

import re

import pytest

import caffe

NET = """
layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 }
  data_filler { value: -2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" param { name: "weight" }
  param { lr_mult: 0 } inner_product_param { num_output: 1
  weight_filler { value: 0.5 } bias_filler { value: 1 } } }
layer { name: "relu" type: "Power" bottom: "y" top: "z" power_param { scale: 2 } }
layer { name: "sum" type: "Reduction" bottom: "z" top: "loss" loss_weight: 1 }
"""
# y = 3 * (-2 * 0.5) + 1 = -2 a sample; z = -4; dz = 1, dy = 2; dw = 2 * 2 * -2 = -8
LINES = """
    [Forward] Layer d, top blob x data: 2
    [Forward] Layer ip, top blob y data: 2
    [Forward] Layer ip, param blob weight data: 0.5
    [Forward] Layer ip, param blob 1 data: 1
    [Forward] Layer relu, top blob z data: 4
    [Forward] Layer sum, top blob loss data: 8
    [Backward] Layer sum, bottom blob z diff: 1
    [Backward] Layer relu, bottom blob y diff: 2
    [Backward] Layer ip, param blob 0 diff: 8
    [Backward] All net params (data, diff): L1 norm = (2.5, 24); L2 norm = \
(1.32288, 13.8564)
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    return tmp_path / "net.prototxt"


def debug_lines(text):
    return re.findall(r"\] (    \[.*)", text)


def test_every_layer_and_gradient_has_caffes_line(path, capsys):
    net = caffe.Net(str(path), caffe.TRAIN)
    net.set_debug_info(True)
    net.set_debug_info(True)
    capsys.readouterr()
    net.forward()
    net.backward()
    assert debug_lines(capsys.readouterr().err) == LINES.strip("\n").splitlines()


def test_a_net_may_ask_for_it_itself_and_it_may_be_ended(path, capsys):
    path.write_text("debug_info: true\n" + NET)
    net = caffe.Net(str(path), caffe.TRAIN)
    net.forward_backward()
    assert debug_lines(capsys.readouterr().err) == LINES.strip("\n").splitlines()
    net.set_debug_info(False)
    net.forward_backward()
    assert debug_lines(capsys.readouterr().err) == []


def test_a_solver_shows_the_iterations_that_it_displays(path, tmp_path, capsys):
    solver_file = tmp_path / "solver.prototxt"
    solver_file.write_text(
        f'net: "{path}" base_lr: 0 lr_policy: "fixed" display: 2 debug_info: true'
    )
    solver = caffe.get_solver(str(solver_file))
    capsys.readouterr()
    solver.step(4)
    shown = debug_lines(capsys.readouterr().err)
    assert shown == 2 * LINES.strip("\n").splitlines()


def test_a_net_without_parameters_has_norms_of_zero(path, capsys):
    path.write_text(
        """
        debug_info: true force_backward: true
        layer { name: "d" type: "Input" top: "x" input_param { shape { dim: 2 } } }
        layer { name: "sum" type: "Reduction" bottom: "x" top: "y" loss_weight: 1 }
        """
    )
    caffe.Net(str(path), caffe.TRAIN).forward_backward()
    last = debug_lines(capsys.readouterr().err)[-1]
    assert last.endswith("L1 norm = (0, 0); L2 norm = (0, 0)")
