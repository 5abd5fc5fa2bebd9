"""The loop: tests, displays, snapshots, resumes."""

import hashlib
import re

import numpy as np
import pytest

import caffe
from caffe.engine import common
from caffe.errors import CheckError, FileError
from caffe.proto import caffe_pb2
from tests.support.files import names
from tests.support.solvers import BASE, case_folder, write_solver

DROPOUT = """
layer { name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "train.txt" batch_size: 4 shuffle: true } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "score" type: "Convolution" bottom: "conv" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label"
  top: "loss" loss_param { ignore_label: 2 } }
"""
TESTED = "test_iter: 2 test_interval: 5 "


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(case_folder("adam", tmp_path))
    return tmp_path


@pytest.fixture
def make(folder):
    def build(extra="", base=BASE):
        return caffe.get_solver(write_solver(folder, base + extra))

    return build


def lines(capsys):
    return [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]


def weights(solver):
    return [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]


class TestPycaffe:
    def test_the_solver_classes_bear_the_names_of_pycaffe(self, make, folder):
        make()
        assert caffe.SGDSolver("solver.prototxt").net.phase == caffe.TRAIN
        assert type(make('type: "Adam"')) is caffe.AdamSolver

    def test_blobs_can_be_read_after_a_step(self, make):
        solver = make()
        solver.step(1)
        assert solver.iter == 1
        assert float(solver.net.blobs["loss"].data) > 0
        assert np.isfinite(solver.net.blobs["conv"].data).all()

    def test_a_parameter_holds_its_update_as_its_diff(self, make):
        solver = make()
        before = weights(solver)
        solver.step(1)
        after = weights(solver)
        diffs = [b.diff.copy() for bs in solver.net.params.values() for b in bs]
        for old, new, update in zip(before, after, diffs, strict=True):
            np.testing.assert_allclose(old - update, new, atol=1e-7)

    def test_weights_set_from_python_count(self, make):
        solver = make()
        solver.net.params["score"][0].data[...] = 0
        solver.net.params["score"][1].data[...] = 0
        solver.step(1)
        assert float(solver.net.blobs["loss"].data) == pytest.approx(np.log(3))

    def test_callbacks_surround_the_gradients(self, make):
        solver, seen = make(), []
        solver.add_callback(
            lambda: seen.append("start"),
            lambda: seen.append(float(np.abs(solver.net.params["conv"][0].diff).max())),
        )
        solver.step(2)
        assert seen[0] == seen[2] == "start"
        assert seen[1] > 0

    def test_a_solver_can_be_made_of_a_message(self, folder):
        param = caffe_pb2.SolverParameter(
            net="net.prototxt", base_lr=0.1, lr_policy="fixed"
        )
        assert caffe.SGDSolver(param).param == param

    def test_a_solver_file_of_the_fifth_of_many_old_forms_loads(self, make):
        solver = make("solver_type: ADAM", BASE.replace("momentum: 0.9", ""))
        assert type(solver) is caffe.AdamSolver


class TestRefusals:
    @pytest.mark.parametrize(
        ("extra", "text"),
        [
            ('type: "Lion"', "Unknown solver type: Lion .*AdaDelta, AdaGrad, Adam"),
            ("average_loss: 0", "average_loss must be 1 or more, it is 0"),
            ("iter_size: 0", "iter_size must be 1 or more, it is 0"),
            ('regularization_type: "L3"', "Unknown regularization type: 'L3'"),
            ('type: "AdaGrad"', "Momentum cannot be used with AdaGrad: it is 0.9"),
            ('type: "RMSProp"', "Momentum cannot be used with RMSProp"),
            ('train_net: "net.prototxt"', "more than one of these fields.*train_net"),
            ("test_iter: 1", "test_interval must be more than 0"),
            ('test_net: "net.prototxt"', "test_iter must be specified for each test"),
            (
                TESTED + "test_state { level: 1 } test_state { level: 2 }",
                "given 2 times for 1 test nets",
            ),
        ],
    )
    def test_a_solver_that_makes_no_sense_is_refused(self, make, extra, text):
        with pytest.raises(CheckError, match=text):
            make(extra)

    def test_a_solver_without_a_net_is_refused(self, make):
        with pytest.raises(CheckError, match="must specify a train net using one of"):
            make(base='lr_policy: "fixed"')

    def test_rms_decay_outside_its_range_is_refused(self, make):
        base = BASE.replace("momentum: 0.9", "")
        with pytest.raises(CheckError, match="between 0 and 1, it is 1"):
            make('type: "RMSProp" rms_decay: 1', base)

    def test_a_net_that_is_nowhere_is_named(self, make):
        with pytest.raises(FileError, match=r"gone\.prototxt"):
            make(base='net: "gone.prototxt" lr_policy: "fixed"')

    def test_a_prefix_that_cannot_be_written_is_refused_at_the_start(self, make):
        with pytest.raises(
            FileError, match=r"Cannot write to snapshot prefix 'train\.txt/x': "
        ):
            make(
                'snapshot: 5 snapshot_prefix: "train.txt/x"',
                BASE.replace('snapshot_prefix: "snap"', ""),
            )

    def test_solve_sees_that_its_last_snapshot_can_be_written(self, make):
        solver = make(
            'snapshot_prefix: "train.txt/x"',
            BASE.replace('snapshot_prefix: "snap"', ""),
        )
        with pytest.raises(FileError, match="Cannot write to snapshot prefix"):
            solver.solve()
        assert solver.iter == 0


class TestNets:
    def test_a_net_beside_the_solver_file_is_found(
        self, make, folder, monkeypatch, capsys
    ):
        make(base=BASE.replace("net.prototxt", "elsewhere/net.prototxt"))
        assert "elsewhere/net.prototxt is not there; using " in capsys.readouterr().err

    def test_test_nets_follow_the_weights_of_the_training_net(self, make):
        solver = make(TESTED)
        solver.step(6)
        trained = solver.net.params["conv"][0].data
        assert np.array_equal(solver.test_nets[0].params["conv"][0].data, trained)
        assert solver.test_nets[0].phase == caffe.TEST

    def test_each_kind_of_test_net_is_built_in_order(self, make, capsys):
        solver = make(
            'test_net: "net.prototxt" test_net_param { name: "inline" } test_iter: 0 '
            "test_iter: 1 test_iter: 1 test_interval: 9"
        )
        assert [net.name for net in solver.test_nets] == ["inline", "tiny", "tiny"]
        sources = [ln for ln in lines(capsys) if ln.startswith("Creating test net")]
        assert sources == [
            "Creating test net (#0) specified by test_net_param",
            "Creating test net (#1) specified by test_net file: net.prototxt",
            "Creating test net (#2) specified by net file: net.prototxt",
        ]

    def test_a_net_inside_the_solver_is_trained(self, make, folder):
        net = (folder / "net.prototxt").read_text()
        solver = make(
            base=BASE.replace('net: "net.prototxt"', "train_net_param { " + net + " }")
        )
        solver.step(1)
        assert solver.net.name == "tiny"

    def test_weights_of_the_solver_file_start_both_nets(self, make, capsys):
        solver = make(TESTED + 'weights: "init.caffemodel"')
        stored = caffe.Net("net.prototxt", caffe.TEST, weights="init.caffemodel")
        wanted = stored.params["score"][0].data
        for net in (solver.net, *solver.test_nets):
            assert np.array_equal(net.params["score"][0].data, wanted)
        assert lines(capsys).count("Finetuning from init.caffemodel") == 2

    def test_a_seed_makes_the_same_weights_again(self, make):
        for one, other in zip(weights(make()), weights(make()), strict=True):
            assert np.array_equal(one, other)


class TestLog:
    def test_clipping_says_both_norms_and_the_factor(self, make, capsys):
        make("clip_gradients: 0.01").step(1)
        (line,) = [ln for ln in lines(capsys) if "clipping" in ln]
        norm, scale = map(
            float,
            re.fullmatch(
                r"Gradient clipping: scaling down gradients \(L2 norm (\S+) > 0.01\) "
                r"by scale factor (\S+)",
                line,
            ).groups(),
        )
        assert scale == pytest.approx(0.01 / norm, rel=1e-4)

    def test_a_loss_that_is_no_number_is_warned_of_once(self, make, capsys):
        solver = make("display: 1")
        solver.net.params["score"][0].data[...] = np.nan
        solver.step(3)
        found = capsys.readouterr().err.splitlines()
        (warning,) = [line for line in found if line.startswith("W")]
        assert "the loss is nan after 0 updates" in warning
        assert solver.iter == 3
        # the spelling that Java's Double.valueOf reads, for the Fiji plugin
        assert any(line.endswith(", loss = NaN") for line in found)

    def test_the_test_loss_is_shown_if_asked_for(self, make, capsys):
        make(TESTED + "test_compute_loss: true").step(1)
        shown = lines(capsys)
        (loss,) = [ln for ln in shown if ln.startswith("Test loss: ")]
        (output,) = [ln for ln in shown if ln.startswith("    Test net output #0")]
        assert output.startswith(f"    Test net output #0: loss = {loss[11:]} (* 1 = ")

    def test_no_test_at_the_start_if_told_so(self, make, capsys):
        make(TESTED + "test_initialization: false").step(1)
        assert not [ln for ln in lines(capsys) if "Testing net" in ln]


class TestSnapshots:
    def test_the_folder_of_the_prefix_is_made(self, make, folder):
        solver = make(
            'snapshot: 1 snapshot_prefix: "new/deep/s"',
            BASE.replace('snapshot_prefix: "snap"', ""),
        )
        solver.step(1)
        assert names(folder / "new" / "deep") == [
            "s_iter_1.caffemodel",
            "s_iter_1.solverstate",
            "s_iter_1.solverstate.resume.npz",
        ]

    def test_one_is_written_after_the_last_iteration_and_none_twice(
        self, make, folder, capsys
    ):
        make(
            'snapshot: 6 snapshot_prefix: "own"',
            BASE.replace('snapshot_prefix: "snap"', ""),
        ).solve()
        found = [ln for ln in lines(capsys) if ln.startswith("Snapshotting to")]
        assert found == [
            "Snapshotting to binary proto file own_iter_6.caffemodel",
            "Snapshotting to binary proto file own_iter_12.caffemodel",
        ]

    def test_none_is_written_after_training_if_told_so(self, make, folder):
        make("snapshot_after_train: false").solve()
        assert "snap_iter_12.caffemodel" not in names(folder)

    @pytest.mark.parametrize("request_name", ["stop", "snapshot"])
    def test_a_request_is_obeyed_after_the_update(self, make, folder, request_name):
        solver = make()
        answers = ["none", "none", request_name]
        solver.action_function = lambda: answers.pop(0) if answers else "none"
        solver.solve()
        assert "snap_iter_3.caffemodel" in names(folder)
        assert solver.iter == (3 if request_name == "stop" else 12)
        assert solver.stopped_early == (request_name == "stop")


class Peers:
    """Two processes, the other of which never asks for anything."""

    rank, count = 0, 2

    def __init__(self):
        self.told = []

    def agree(self, request):
        return request

    def tell(self, data):
        self.told.append(data)
        return data


class TestRequestsInTests:
    def solver(self, make, peers=None):
        solver = make(TESTED + "snapshot_after_train: false test_initialization: false")
        solver._peers = peers or solver._peers
        calls = iter(range(99))
        solver.action_function = lambda: (
            "snapshot" if solver.iter == 5 and next(calls) == 1 else "none"
        )
        return solver

    def test_a_snapshot_is_written_between_the_batches(self, make, folder, capsys):
        self.solver(make).solve()
        shown = lines(capsys)
        begin = shown.index("Iteration 5, Testing net (#0)")
        snapshot = shown.index(
            "Snapshotting to binary proto file snap_iter_5.caffemodel"
        )
        first = next(
            i for i, text in enumerate(shown) if i > begin and "Test net output" in text
        )
        assert begin < snapshot < first
        assert "snap_iter_5.solverstate.resume.npz" in names(folder)

    def test_with_others_it_is_written_after_the_tests(self, make, folder, capsys):
        peers = Peers()
        self.solver(make, peers).solve()
        shown = lines(capsys)
        begin = shown.index("Iteration 5, Testing net (#0)")
        snapshot = shown.index(
            "Snapshotting to binary proto file snap_iter_5.caffemodel"
        )
        first = next(
            i for i, text in enumerate(shown) if i > begin and "Test net output" in text
        )
        assert begin < first < snapshot
        digest = hashlib.sha256((folder / "snap_iter_5.solverstate").read_bytes())
        assert peers.told == [digest.hexdigest().encode()]

    def test_another_rank_neither_tests_nor_displays_nor_snapshots(
        self, make, folder, capsys
    ):
        solver = make(TESTED + "display: 1 snapshot: 6")
        before = names(folder)
        common.set_solver_rank(1)
        try:
            solver.solve()
        finally:
            common.set_solver_rank(0)
        assert names(folder) == before
        assert solver.iter == 12
        assert not [text for text in lines(capsys) if "Iteration" in text]


class TestResume:
    def net_with_chance(self, folder):
        (folder / "net.prototxt").write_text(DROPOUT)

    @pytest.mark.parametrize("form", ["HDF5", "BINARYPROTO"])
    def test_stopping_and_resuming_changes_no_bit(self, make, folder, capsys, form):
        self.net_with_chance(folder)
        (folder / "other.prototxt").write_text(
            DROPOUT.replace("batch_size: 4", "batch_size: 3")
        )
        extra = (
            f'{TESTED} test_net: "other.prototxt" test_iter: 3 '
            f"display: 1 average_loss: 4 snapshot: 7 iter_size: 2 "
            f'snapshot_format: {form} type: "Adam"'
        )
        whole = make(extra)
        whole.solve()
        shown = lines(capsys)
        ending = ".h5" if form == "HDF5" else ""
        other = make(extra)
        other.net.params["conv"][0].data[...] = 0
        caffe.set_random_seed(99)
        capsys.readouterr()
        other.solve(f"snap_iter_7.solverstate{ending}")
        for one, two in zip(weights(whole), weights(other), strict=True):
            assert np.array_equal(one, two)
        timeless = re.compile(r" \(.* iter/s, .*s/1 iters\)")
        begin = shown.index("Iteration 7, lr = 0.1")
        late = [timeless.sub("", ln) for ln in shown[begin + 1 :]]
        again = [timeless.sub("", ln) for ln in lines(capsys)]
        assert again[again.index("Iteration 7, lr = 0.1") + 1 :] == late

    def test_a_stop_within_a_test_changes_no_bit(self, make, folder, capsys):
        self.net_with_chance(folder)
        whole = make(TESTED)
        whole.solve()
        stopped = make(TESTED)
        calls = iter(range(99))
        stopped.action_function = lambda: (
            "stop" if stopped.iter == 5 and next(calls) == 1 else "none"
        )
        capsys.readouterr()
        stopped.solve()
        assert "Test interrupted." in lines(capsys)
        assert stopped.iter == 5
        resumed = make(TESTED)
        resumed.solve("snap_iter_5.solverstate")
        for one, two in zip(weights(whole), weights(resumed), strict=True):
            assert np.array_equal(one, two)

    def test_without_side_car_training_goes_on_with_a_warning(
        self, make, folder, capsys
    ):
        self.net_with_chance(folder)
        make("snapshot: 7").solve()
        (folder / "snap_iter_7.solverstate.resume.npz").unlink()
        resumed = make("snapshot: 7")
        capsys.readouterr()
        resumed.restore("snap_iter_7.solverstate")
        found = capsys.readouterr().err.splitlines()
        assert sum(line.startswith("W") for line in found) == 1
        resumed.step(1)
        assert resumed.iter == 8

    def test_the_mean_of_losses_starts_anew_in_each_step(self, make, capsys):
        solver = make("display: 1 average_loss: 9")
        capsys.readouterr()
        for _ in range(2):
            solver.step(1)
        shown = lines(capsys)
        smoothed = [ln.split("loss = ")[1] for ln in shown if "iter/s" in ln]
        single = [ln.split(" = ")[1].split(" ")[0] for ln in shown if "#0" in ln]
        assert smoothed == single
