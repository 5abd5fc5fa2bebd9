"""The net and the solver of a finetuning."""

import math

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from caffe.proto import caffe_pb2
from pyunet.errors import DataError
from pyunet_fiji.finetuning import nets
from pyunet_fiji.finetuning.nets import Schedule
from pyunet_fiji.modeldef import ModelDefinition
from tests.support import modeldefs

CELL_NET = ModelDefinition(
    "2d_cell_net_v0", "", "data3", (0.5, 0.5), (16, 16), (60, 60), (-124, -124)
)


def parse(text, kind="NetParameter"):
    message = getattr(caffe_pb2, kind)()
    text_format.Parse(text, message)
    return message


def changed(model, **settings):
    values = {
        "ident": "small2d-unet-1",
        "name": "mine",
        "train_list": "train.txt",
        "tile": (60, 80),
        "class_names": ("Background", "cell"),
    }
    return nets.finetuned_definition(model, **{**values, **settings})


def test_the_net_changes_in_its_sources_tile_and_classes_only():
    model = modeldefs.definition()
    new = changed(model, class_names=("Background", "dim", "bright"))
    expected = parse(
        model.model_prototxt.replace("'input_files.txt'", "'train.txt'")
        .replace("ny: 40 nx: 40", "ny: 60 nx: 80")
        .replace("num_output: 2", "num_output: 3")
    )
    assert parse(new.model_prototxt) == expected
    assert (new.ident, new.name) == ("small2d-unet-1", "mine")
    assert new.class_names == ("Background", "dim", "bright")
    assert new.solver_prototxt == model.solver_prototxt


def test_a_volumes_tile_has_its_depth():
    model = modeldefs.definition(axes=3)
    new = changed(model, tile=(44, 60, 80))
    (layer,) = (
        layer
        for layer in parse(new.model_prototxt).layer
        if layer.type == "CreateDeformation"
    )
    param = layer.create_deformation_param
    assert (param.nz, param.ny, param.nx) == (44, 60, 80)


def test_without_validation_the_net_of_the_run_is_that_of_the_definition():
    new = changed(modeldefs.definition())
    assert parse(nets.run_prototxt(new)) == parse(new.model_prototxt)


def test_validation_adds_a_data_layer_before_and_four_layers_behind():
    new = changed(modeldefs.definition())
    added = """
      layer { name: 'loaddata_valid' type: 'HDF5Data'
        top: 'data3' top: 'labels' top: 'weights' include { phase: TEST }
        hdf5_data_param { source: 'valid.txt' batch_size: 1 shuffle: false } }
      layer { name: 'loss_valid' type: 'SoftmaxWithLoss' top: 'loss_valid'
        bottom: 'score' bottom: 'labels' bottom: 'weights' include { phase: TEST } }
      layer { name: 'IoU' type: 'IoU' top: 'IoU'
        bottom: 'score' bottom: 'labels' bottom: 'weights' include { phase: TEST } }
      layer { name: 'F1_detection' type: 'F1' top: 'F1_detection'
        bottom: 'score' bottom: 'labels' bottom: 'weights' include { phase: TEST }
        f1_param { distance_mode: EUCLIDEAN distance_threshold: 3.0 } }
      layer { name: 'F1_segmentation' type: 'F1' top: 'F1_segmentation'
        bottom: 'score' bottom: 'labels' bottom: 'weights' include { phase: TEST } }
    """
    found = list(parse(nets.run_prototxt(new, valid_list="valid.txt")).layer)
    first, *behind = parse(added).layer
    assert found[0] == first
    assert found[-4:] == behind
    assert found[1:-4] == list(parse(new.model_prototxt).layer)


def test_the_solver_is_the_models_with_what_the_plugin_sets():
    schedule = Schedule(
        iterations=60, rate=0.002, validation_tiles=7, validation_interval=5
    )
    text = nets.run_solver(
        modeldefs.definition(), schedule, net="m.prototxt", prefix="P"
    )
    assert parse(text, "SolverParameter") == parse(
        """
        net: 'm.prototxt' base_lr: 0.002 momentum: 0.9 momentum2: 0.999
        lr_policy: 'fixed' max_iter: 60 display: 1 snapshot: 60
        snapshot_prefix: 'P' snapshot_format: HDF5 type: 'Adam' solver_mode: CPU
        debug_info: false random_seed: 1 test_iter: 7 test_interval: 5
        """,
        "SolverParameter",
    )


def test_a_solver_without_display_says_every_loss_and_keeps_its_own_fields():
    model = modeldefs.definition(
        solver_prototxt="weight_decay: 0.1 test_iter: 3 test_interval: 9"
    )
    text = nets.run_solver(
        model, Schedule(10, gpu=True, snapshot=2), net="m", prefix="P"
    )
    solver = parse(text, "SolverParameter")
    assert (solver.display, solver.snapshot) == (1, 2)
    assert solver.weight_decay == pytest.approx(0.1)
    assert solver.solver_mode == caffe_pb2.SolverParameter.GPU
    assert list(solver.test_iter) == []
    assert not solver.HasField("test_interval")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("'CreateDeformation'", "'Silence'", "has no CreateDeformation layer"),
        ("'HDF5Data'", "'Silence'", "has no HDF5Data layer"),
        ("top: 'score'", "top: 'scores'", "no Convolution gives the blob 'score'"),
        ("name: 'small'", "nam: 'small'", "its net cannot be read"),
    ],
)
def test_models_that_cannot_be_finetuned_are_refused(old, new, said):
    model = modeldefs.definition()
    text = model.model_prototxt.replace(old, new)
    with pytest.raises(DataError, match=f"model 'small2d': {said}"):
        changed(modeldefs.definition(model_prototxt=text))


def test_classes_are_counted_with_background():
    assert nets.class_count(modeldefs.definition(classes=4)) == 4


def test_the_plugins_tile_is_ten_steps_above_the_smallest():
    assert nets.default_tile(CELL_NET) == (348, 348)


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_a_tile_is_taken_exactly_if_the_net_can_do_it(y, x):
    valid = [n >= 188 and (n - 60) % 16 == 0 for n in (y, x)]
    if all(valid):
        assert nets.check_tile(CELL_NET, (y, x)) == (y, x)
    else:
        with pytest.raises(DataError, match=f"tile {y}x{x}: is no input"):
            nets.check_tile(CELL_NET, (y, x))


@pytest.mark.parametrize(
    ("tile", "nearest"),
    [
        ((541,), "540x540 and 556x556"),
        ((540, 539), "540x524 and 540x540"),
        ((7,), "188x188"),
    ],
)
def test_the_nearest_valid_tiles_are_named(tile, nearest):
    with pytest.raises(DataError, match=f"the nearest are {nearest}$"):
        nets.check_tile(CELL_NET, tile)


def test_one_number_is_a_square_and_three_are_too_many():
    assert nets.check_tile(CELL_NET, [540]) == (540, 540)
    with pytest.raises(DataError, match=r"1x2x3: .* has 2 axes; accepted are one"):
        nets.check_tile(CELL_NET, (1, 2, 3))


def test_the_defaults_are_the_plugins():
    assert math.isclose(Schedule(1).rate, 1e-4)
