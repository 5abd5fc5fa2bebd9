"""Several processes that train one net."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import caffe
from caffe.engine import common, parallel
from caffe.errors import CheckError, PeerError
from tests.support import ranks
from tests.support.files import names
from tests.support.marks import slow

ROOT = Path(__file__).parents[3]

DUMMY = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: %d dim: 3 } shape { dim: %d }
  data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" value: 1 }
} }
"""
HDF5 = """
layer { name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "rows.txt" batch_size: %d } }
"""
REST = """
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "%s" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01
random_seed: 5 solver_mode: CPU snapshot_prefix: "s" iter_size: %d
"""

SCRIPT = """
import sys
from multiprocessing import Process

import caffe


def show_times(solver, nccl):
    count = len(solver.net.layers)
    forward, backward = ([caffe.Timer() for _ in range(count)] for _ in "fb")
    total, reduction = caffe.Timer(), caffe.Timer()

    def show():
        if solver.iter % solver.param.display == 0:
            for timer in (*forward, *backward):
                assert timer.ms >= 0
            caffe.log("allreduce: %.2f" % reduction.ms)

    solver.net.before_forward(lambda layer: forward[layer].start())
    solver.net.after_forward(lambda layer: forward[layer].stop())
    solver.net.before_backward(lambda layer: backward[layer].start())
    solver.net.after_backward(lambda layer: backward[layer].stop())
    solver.add_callback(total.start, lambda: (total.stop(), reduction.start()))
    solver.add_callback(nccl)
    solver.add_callback(lambda: "", lambda: (reduction.stop(), show()))


def solve(timing, uid, rank):
    caffe.set_mode_cpu()
    caffe.set_solver_count(2)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)
    solver = caffe.SGDSolver("solver.prototxt")
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    if timing and rank == 0:
        show_times(solver, nccl)
    else:
        solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    solver.step(solver.param.max_iter)


if __name__ == "__main__":
    uid = caffe.NCCL.new_uid()
    caffe.init_log()
    ranks = [Process(target=solve, args=(sys.argv[1:], uid, r)) for r in range(2)]
    for rank in ranks:
        rank.daemon = True
        rank.start()
    for rank in ranks:
        rank.join()
    sys.exit(max(abs(rank.exitcode) for rank in ranks))
"""


@pytest.fixture(autouse=True)
def one_rank_again():
    yield
    common.set_solver_count(1)
    common.set_solver_rank(0)
    common.set_multiprocess(False)


class TestAlone:
    def test_whoever_is_alone_agrees_with_himself(self):
        alone = parallel.Alone()
        assert (alone.rank, alone.count) == (0, 1)
        assert alone.agree("snapshot") == "snapshot"
        assert alone.tell(b"x") == b"x"


class TestGroup:
    @pytest.fixture
    def group(self):
        group = parallel.Group(0, 1, parallel.NCCL.new_uid())
        yield group
        group.close()

    def test_a_group_of_one_changes_nothing(self, group):
        values = [torch.tensor([1.0, 2.0]), torch.tensor(3.0)]
        group.average(values)
        group.broadcast(values)
        assert [value.tolist() for value in values] == [[1.0, 2.0], 3.0]
        assert group.agree("stop") == "stop"
        assert group.tell(b"ab") == b"ab"

    def test_a_second_group_takes_the_place_of_the_first(self, group):
        second = parallel.Group(0, 1, parallel.NCCL.new_uid())
        assert second.agree("none") == "none"
        second.close()
        second.close()

    def test_its_meeting_place_goes_though_torch_still_holds_the_store(self, tmp_path):
        place = tmp_path / "place"
        group = parallel.Group(0, 1, bytes(place))
        held = torch.distributed.distributed_c10d._get_default_store()
        assert place.exists()
        group.close()
        assert not place.exists()
        del held
        assert not place.exists()

    def test_a_lost_peer_is_one_line(self, group, monkeypatch):
        def fail(*args):
            raise RuntimeError("Connection closed by peer\nsomewhere in C++")

        monkeypatch.setattr(torch.distributed, "all_reduce", fail)
        with pytest.raises(
            PeerError,
            match=r"^rank 0 of 1 can't reach the others: Connection closed by peer$",
        ):
            group.agree("none")

    @pytest.mark.parametrize("uid", [b"", b"relative", "/nowhere/at/all", 7])
    def test_a_uid_of_something_else_is_refused(self, uid):
        with pytest.raises(CheckError, match=r"what caffe\.NCCL\.new_uid\(\) gave"):
            parallel.Group(0, 1, uid)

    @pytest.mark.parametrize("rank", [-1, 2])
    def test_a_rank_outside_the_count_is_refused(self, rank):
        with pytest.raises(CheckError, match=f"is {rank}: expected 0 to 1"):
            parallel.Group(rank, 2, parallel.NCCL.new_uid())

    def test_two_processes_exchange_means_and_requests(self, monkeypatch):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        grid = np.arange(16).reshape(1, 4, 2, 2) * 1.5
        for found in ranks.together(ranks.exchange, 2):
            assert found == {
                "means": [grid.tolist(), [0.5]],
                "first": [7.0, 7.0],
                "threads": max(1, (os.cpu_count() or 1) // 2),
                "told": bytes([5, 2]),
                "agreed": ["none", "snapshot", "stop"],
            }


class TestNCCL:
    def test_the_uid_is_made_of_bytes_and_never_the_same(self):
        first, second = parallel.NCCL.new_uid(), parallel.NCCL.new_uid()
        assert isinstance(first, bytes)
        assert first != second

    def test_it_works_wherever_torch_can_distribute(self):
        assert parallel.has_nccl()

    def test_one_solver_trains_as_without_it(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        write(tmp_path, DUMMY % (4, 4))
        alone = caffe.SGDSolver("solver.prototxt")
        alone.step(3)
        found = ranks.train(
            0, 1, parallel.NCCL.new_uid(), str(tmp_path), "solver.prototxt", 3
        )
        for name, value in weights(alone).items():
            np.testing.assert_array_equal(found[name], value)

    @pytest.mark.parametrize(
        ("source", "iter_size"),
        [("dummy", 1), slow("dummy", 2), slow("hdf5", 1), slow("hdf5", 2)],
    )
    def test_two_ranks_with_half_the_batch_train_as_one(
        self, tmp_path, monkeypatch, source, iter_size
    ):
        monkeypatch.chdir(tmp_path)
        rows = np.random.default_rng(0)
        with h5py.File("rows.h5", "w") as file:
            file["data"] = rows.normal(size=(24, 3)).astype(np.float32)
            file["label"] = rows.integers(0, 4, 24).astype(np.float32)
        (tmp_path / "rows.txt").write_text("rows.h5\n")
        whole, half = (
            (DUMMY % (8, 8), DUMMY % (4, 4))
            if source == "dummy"
            else (HDF5 % 8, HDF5 % 4)
        )
        write(tmp_path, whole, iter_size)
        alone = caffe.SGDSolver("solver.prototxt")
        first = weights(alone)
        alone.step(7)
        write(tmp_path, half, iter_size)
        both = ranks.together(ranks.train, 2, os.fspath(tmp_path), "solver.prototxt", 7)
        for name, wanted in weights(alone).items():
            assert np.abs(wanted - first[name]).max() > 1e-3
            np.testing.assert_allclose(both[0][name], wanted, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(both[0][name], both[1][name])


class TestScript:
    """What BVLC's python/train.py does, on the CPU."""

    @pytest.mark.parametrize("timing", [slow(False), True])
    def test_a_script_of_two_processes_trains_and_leaves_nothing(
        self, tmp_path, timing
    ):
        write(tmp_path, DUMMY % (4, 4))
        with (tmp_path / "solver.prototxt").open("a") as file:
            file.write("display: 2 max_iter: 4 snapshot: 4")
        (tmp_path / "train.py").write_text(SCRIPT)
        (tmp_path / "tmp").mkdir()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(tmp_path / "tmp"),
        }
        done = subprocess.run(
            [sys.executable, "train.py", *(["timing"] if timing else [])],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("Iteration 2 (") == 1
        assert ("allreduce: " in done.stderr) == timing
        assert names(tmp_path / "tmp") == []
        assert [name for name in names(tmp_path) if name.startswith("s_iter")] == [
            "s_iter_4.caffemodel",
            "s_iter_4.solverstate",
            "s_iter_4.solverstate.rank1.resume.npz",
            "s_iter_4.solverstate.resume.npz",
        ]


class TestWorld:
    def test_ranks_are_what_was_set(self):
        common.set_solver_count(3)
        common.set_solver_rank(2)
        common.set_multiprocess(True)
        assert (common.solver_count(), common.solver_rank()) == (3, 2)
        assert common.multiprocess()
        assert not common.root_solver()

    def test_only_the_first_rank_writes_information(self, capfd, monkeypatch):
        monkeypatch.setenv("GLOG_minloglevel", "0")
        for rank in (1, 0):
            common.set_solver_rank(rank)
            caffe.log(f"from {rank}")
        err = capfd.readouterr().err
        assert "from 0" in err
        assert "from 1" not in err

    @pytest.mark.parametrize(
        ("set_it", "value"), [("set_solver_count", 0), ("set_solver_rank", -1)]
    )
    def test_numbers_that_make_no_sense_are_refused(self, set_it, value):
        with pytest.raises(CheckError, match=f"is {value}: expected . or more"):
            getattr(common, set_it)(value)

    def test_ranks_differ_in_their_random_numbers(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        write(tmp_path, DUMMY % (4, 4))
        first = weights(caffe.SGDSolver("solver.prototxt"))
        common.set_solver_rank(1)
        second = weights(caffe.SGDSolver("solver.prototxt"))
        (tmp_path / "solver.prototxt").write_text(
            (tmp_path / "solver.prototxt").read_text().replace("seed: 5", "seed: 6")
        )
        common.set_solver_rank(0)
        other = weights(caffe.SGDSolver("solver.prototxt"))
        assert not np.array_equal(first["ip.0"], second["ip.0"])
        assert np.array_equal(second["ip.0"], other["ip.0"])


def write(folder, data, iter_size=1):
    """Put net and solver into a folder."""
    (folder / "net.prototxt").write_text('name: "n"' + data + REST)
    (folder / "solver.prototxt").write_text(SOLVER % ("net.prototxt", iter_size))


def weights(solver):
    return {
        f"{name}.{index}": np.array(blob.data)
        for name, blobs in solver.net.params.items()
        for index, blob in enumerate(blobs)
    }
