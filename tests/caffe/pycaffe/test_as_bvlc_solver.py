"""What BVLC's own tests of the solvers check, in our words."""

import numpy as np
import pytest

import caffe

NET = """
layer { type: 'DummyData' name: 'data' top: 'data' top: 'label'
  dummy_data_param { num: 4 channels: 2 height: 3 width: 4
    num: 4 channels: 1 height: 1 width: 1
    data_filler { type: 'gaussian' std: 1 } data_filler { type: 'constant' } } }
layer { type: 'Convolution' name: 'conv' bottom: 'data' top: 'conv'
  convolution_param { num_output: 5 kernel_size: 2 pad: 3
    weight_filler { type: 'gaussian' std: 1 } bias_filler { value: 2 } }
  param { decay_mult: 1 } param { decay_mult: 0 } }
layer { type: 'InnerProduct' name: 'ip' bottom: 'conv' top: 'ip'
  inner_product_param { num_output: 9 weight_filler { type: 'gaussian' std: 1 } } }
layer { type: 'SoftmaxWithLoss' name: 'loss' bottom: 'ip' bottom: 'label' top: 'l' }
"""
SOLVER = """net: 'net.prototxt' test_iter: 3 test_interval: 10 base_lr: 0.01
momentum: 0.9 weight_decay: 0.0005 lr_policy: 'inv' gamma: 0.0001 power: 0.75
display: 20 max_iter: 20 snapshot_after_train: false snapshot_prefix: "model"
"""


@pytest.fixture
def solver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    caffe.set_random_seed(4)
    made = caffe.SGDSolver("solver.prototxt")
    assert type(caffe.get_solver("solver.prototxt")) is caffe.SGDSolver
    caffe.set_mode_cpu()
    for net in (made.net, made.test_nets[0]):
        label = net.blobs["label"].data
        label[...] = np.random.default_rng(1).integers(9, size=label.shape)
    return made


def test_solve_counts_to_the_last_iteration(solver):
    assert solver.iter == 0
    solver.solve()
    assert solver.iter == solver.max_iter == 20


def test_apply_update_subtracts_the_rate_times_the_diff(solver):
    blob = solver.net.layers[1].blobs[0]
    data = blob.data[...]
    data[...] = 0
    blob.diff[...] = 1
    solver.apply_update()
    np.testing.assert_allclose(data, -0.01, atol=1e-7)
    np.testing.assert_allclose(solver.net.params["conv"][0].data, -0.01, atol=1e-7)


@pytest.mark.parametrize("steps", [0, 2])
def test_nets_live_on_when_their_solver_is_gone(solver, steps):
    solver.step(steps)
    nets = [solver.net, *solver.test_nets]
    assert len(nets) == 2
    del solver
    for net in nets:
        params = [blob for blobs in net.params.values() for blob in blobs]
        blobs = [*net.blobs.values(), *params]
        arrays = [array for blob in blobs for array in (blob.data, blob.diff)]
        assert len(arrays) == 18
        assert np.isfinite(sum(array.sum() for array in arrays))


def test_a_snapshot_is_two_files_named_by_the_iteration(solver, tmp_path):
    solver.snapshot()
    for ending in ("caffemodel", "solverstate"):
        assert (tmp_path / f"model_iter_0.{ending}").stat().st_size > 0


def test_parameters_of_the_solver_are_shown_and_set(solver):
    shown = solver.param.max_iter, solver.param.display, solver.param.layer_wise_reduce
    assert shown == (20, 20, True)
    solver.param.base_lr = 0.5
    assert solver.base_lr == 0.5
