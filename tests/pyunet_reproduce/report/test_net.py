"""What is said of nets, solvers and kernels."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

import caffe
from pyunet.errors import DataError
from pyunet_fiji.modeldef import write_modeldef
from pyunet_reproduce.report.net import describe_net, describe_solver
from pyunet_reproduce.report.pictures import case_figures, kernel_figure
from pyunet_reproduce.report.run import Case
from tests.support import modeldefs


def pixels(figure):
    data = base64.b64decode(figure.source.partition("base64,")[2])
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def net(folder, layers):
    text = (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { '
        "dim: 1 dim: 3 dim: 9 dim: 9 } } }" + layers
    )
    (folder / "deploy.prototxt").write_text(text)
    caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST).save(str(folder / "w"))
    return folder / "deploy.prototxt", folder / "w"


def test_the_first_of_many_kernels_are_shown(tmp_path):
    files = net(
        tmp_path,
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
        "convolution_param { num_output: 70 kernel_size: 3 } }",
    )
    rows, (kernels,), why = describe_net(*files)
    assert why == ""
    assert dict(rows)["parameters"].startswith("1,960 ")  # 70 * 27 + 70
    assert kernels.caption.startswith("c: 70 kernels of 3 x 3 over 3 channel(s)")
    assert kernels.caption.endswith("The first 64 are shown")


def test_a_net_of_points_has_no_kernels_to_show(tmp_path):
    files = net(
        tmp_path,
        'layer { name: "c" type: "Convolution" bottom: "data" top: "c" '
        "convolution_param { num_output: 2 kernel_size: 1 } }",
    )
    _, kernels, why = describe_net(*files)
    assert kernels == []
    assert "no convolution with kernels of more than one pixel" in why


def test_a_definition_needs_its_weights(tmp_path):
    write_modeldef(tmp_path / "a.modeldef.h5", modeldefs.definition())
    with pytest.raises(DataError, match="goes with --weights"):
        describe_net(tmp_path / "a.modeldef.h5", None)


def test_solver_fields_are_named_and_those_of_files_left_out():
    rows = describe_solver(
        'net: "a" solver_mode: GPU stepvalue: 10 stepvalue: 20 momentum: 0.9'
    )
    assert dict(rows) == {
        "momentum": "0.9", "solver_mode": "GPU", "stepvalue": "10, 20"
    }  # fmt: skip
    with pytest.raises(DataError, match=r"^solver:1:1: no field"):
        describe_solver("nonsense")


def test_kernels_are_grey_at_0_black_below_and_white_above():
    weights = np.zeros((1, 2, 1, 3))
    weights[0, 0, 0] = (-2, 0, 2)
    weights[0, 1] = 9  # another channel is not shown
    shown = pixels(kernel_figure(weights, ""))
    assert shown[5, [5, 22, 40], 0].tolist() == [0, 128, 255]


def test_three_channels_are_colours_and_volumes_show_their_middle():
    weights = np.zeros((1, 3, 3, 2, 2))
    weights[0, 0, 1] = 1  # red in the middle slice
    weights[0, 2, 0] = 1  # blue in the first
    assert pixels(kernel_figure(weights, ""))[5, 5].tolist() == [255, 128, 128]


def test_volumes_and_smaller_images_are_laid_under_their_labels():
    truth = np.zeros((3, 8, 8), int)
    truth[1, 2:6, 2:6] = 1
    image = np.zeros((1, 3, 4, 4))
    image[0, 1, 0, 0] = 1
    counts = np.ones(truth.shape, bool)
    counts[1, 7] = False
    figures = case_figures(Case("a", truth, truth, image, counts))
    assert [(one.width, one.height) for one in figures] == [(8, 8)] * 5
    assert (
        pixels(figures[0])[..., 0].tolist() == [[255] * 2 + [0] * 6] * 2 + [[0] * 8] * 6
    )
    assert pixels(figures[4])[7].tolist() == [[205] * 3] * 8
    assert pixels(figures[4])[:7].min() == 255
