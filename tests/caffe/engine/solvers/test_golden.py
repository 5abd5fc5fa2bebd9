"""Twenty steps of every method, as the original took them."""

import pytest

import caffe
from tests.support.solvers import CASES, case_folder, relative_error
from tests.support.stored import load_arrays

pytestmark = pytest.mark.reference
TOLERANCE = 1e-4


def parameters(net):
    return {
        f"{layer}.{index}": blob.data.copy()
        for layer, blobs in net.params.items()
        for index, blob in enumerate(blobs)
    }


def assert_parameters(net, stored, prefix):
    found = parameters(net)
    wanted = {k.removeprefix(prefix) for k in stored if k.startswith(prefix)}
    assert set(found) == wanted
    for name, values in found.items():
        assert relative_error(values, stored[prefix + name]) <= TOLERANCE, name


@pytest.fixture(params=CASES)
def case(request, tmp_path, monkeypatch):
    monkeypatch.chdir(case_folder(request.param, tmp_path))
    return load_arrays("trajectory.npz")


def test_twenty_steps_give_the_losses_and_weights_of_the_original(case):
    solver = caffe.get_solver("solver.prototxt")
    solver.net.copy_from("init.caffemodel")
    losses = []
    for _ in range(20):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    assert relative_error(losses, case["loss"]) <= TOLERANCE
    assert_parameters(solver.net, case, "final.")


@pytest.mark.parametrize("ending", ["", ".h5"])
def test_a_snapshot_of_the_original_resumes_as_it_did(case, ending):
    solver = caffe.get_solver("solver.prototxt")
    solver.restore(f"snap_iter_10.solverstate{ending}")
    assert solver.iter == 10
    solver.step(10)
    assert_parameters(solver.net, case, "resumed.")
