"""The command `caffe` as a person or a program calls it."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import caffe
from caffe.cli import main, ranks, train
from caffe.cli.flags import Flags
from caffe.engine import common
from caffe.proto import caffe_pb2
from tests.support.files import names
from tests.support.marks import slow
from tests.support.solvers import BASE, case_folder, write_solver

ROOT = Path(__file__).parents[3]
LONG = BASE.replace("max_iter: 12", "max_iter: 100000") + "display: 1 "


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(case_folder("adam", tmp_path))
    for name in names(tmp_path):
        if name.startswith("snap"):
            (tmp_path / name).unlink()
    return tmp_path


def _warnings(capsys):
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if line.startswith("W")]


def start(*arguments, **options):
    """Start the command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "caffe", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def hdf5_training(folder):
    """Write a long training on two files of one row each; return the solver's name."""
    for path in folder.iterdir():
        path.unlink()
    rng = np.random.default_rng(0)
    for name in ("first.h5", "second.h5"):
        with h5py.File(folder / name, "w") as file:
            file["data"] = rng.normal(size=(1, 3)).astype("f4")
            file["wanted"] = rng.normal(size=(1, 2)).astype("f4")
    (folder / "list.txt").write_text("first.h5\nsecond.h5\n")
    (folder / "net.prototxt").write_text(
        'layer { name: "load" type: "HDF5Data" top: "data" top: "wanted" '
        'hdf5_data_param { source: "list.txt" batch_size: 1 } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" '
        "inner_product_param { num_output: 2 } }"
        'layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "wanted" }'
    )
    (folder / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 1e-6 lr_policy: "fixed" display: 1 '
        'max_iter: 10000000 snapshot_prefix: "snap"'
    )
    return "solver.prototxt"


def refused(capsys, *arguments):
    """Text of the one line that a failing command writes last."""
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    errors = [line for line in err.splitlines() if line.startswith("F")]
    assert len(errors) == 1
    assert err.splitlines()[-1] == errors[0]
    assert "Traceback" not in err
    return errors[0].partition("] ")[2]


class TestUsage:
    @pytest.mark.parametrize("arguments", [[], ["train", "test"]])
    def test_without_one_action_usage_goes_to_stdout_and_status_is_0(
        self, arguments, capsys
    ):
        assert main(arguments) == 0
        out, err = capsys.readouterr()
        assert out.startswith("caffe: command line brew\nusage: caffe <command> <args>")
        assert "  train           train or finetune a model\n" in out
        assert err == ""

    def test_help_shows_usage_with_the_status_of_gflags(self, capsys):
        assert main(["-help"]) == 1
        assert "usage: caffe" in capsys.readouterr().out

    def test_version(self, capsys):
        assert main(["-version"]) == 0
        assert capsys.readouterr().out == "caffe version 1.0.0\n"

    def test_an_unknown_flag_is_named_as_gflags_does(self, capsys):
        assert main(["train", "-foo"]) == 1
        assert capsys.readouterr().err == "ERROR: unknown command line flag 'foo'\n"

    def test_an_unknown_action_is_answered_with_the_known_ones(self, capsys):
        assert main(["fly"]) == 1
        found = [ln.partition("] ")[2] for ln in capsys.readouterr().err.splitlines()]
        assert found == [
            "Available caffe actions:",
            "\tcheck",
            "\tdevice_query",
            "\ttest",
            "\ttime",
            "\ttrain",
            "\tupgrade",
            "Unknown action: fly",
        ]

    def test_help_loads_no_torch(self):
        code = (
            "import sys; from caffe.cli import main; main([]); "
            "sys.exit('torch' in sys.modules or 'h5py' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True
        )
        assert done.returncode == 0

    def test_minloglevel_silences_the_log(self, folder, capsys, monkeypatch):
        monkeypatch.setenv("GLOG_minloglevel", "0")
        arguments = [
            "-minloglevel",
            "1",
            "test",
            "-model",
            "net.prototxt",
            "-weights",
            "init.caffemodel",
            "-iterations",
            "1",
        ]
        assert main(arguments) == 0
        assert capsys.readouterr().err == ""


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["train"], "Need a solver definition to train"),
            (["test"], "Need a model definition to score"),
            (["test", "-model", "m"], "Need model weights to score"),
            (["time"], "Need a model definition to time"),
            (["time", "-model", "m", "-phase", "x"], "-phase must be TRAIN or TEST"),
            (["time", "-model", "m", "-iterations", "0"], "-iterations must be 1 or"),
            (
                ["train", "-solver", "s", "-snapshot", "a", "-weights", "b"],
                "Give a snapshot to resume training or weights to finetune but not",
            ),
            (["train", "-solver", "gone.prototxt"], "gone.prototxt"),
            (["train", "-solver", "s", "-sigint_effect", "x"], "Invalid signal effect"),
            (["test", "-model", "m", "-weights", "w", "-gpu", "x"], "-gpu x: expected"),
            (["train", "-solver", "s", "-ranks", "0"], "-ranks 0: expected 1 or more"),
            (["train", "-solver", "s", "-ranks", "2", "-gpu", "0"], "on the CPU; on"),
        ],
    )
    def test_one_line_says_what_is_wrong(self, capsys, folder, arguments, text):
        assert text in refused(capsys, *arguments)

    def test_an_error_names_the_command(self, capsys):
        assert refused(capsys, "train").startswith("caffe train: Need")

    def test_debug_shows_where(self, capsys):
        with pytest.raises(caffe.CaffeError):
            main(["train", "-debug"])

    def test_an_unknown_field_is_named_with_its_place(self, capsys, folder):
        text = (folder / "net.prototxt").read_text() + "\nlayer { nme: 'x' }\n"
        (folder / "net.prototxt").write_text(text)
        write_solver(folder, BASE)
        line = text.count("\n")
        shown = refused(capsys, "train", "-solver", "solver.prototxt")
        assert f"net.prototxt:{line}:9: " in shown
        assert "nme" in shown

    def test_a_missing_bottom_is_named(self, capsys, folder):
        text = (folder / "net.prototxt").read_text()
        broken = text.replace('bottom: "pool"', 'bottom: "pol"')
        (folder / "net.prototxt").write_text(broken)
        write_solver(folder, BASE)
        shown = refused(capsys, "train", "-solver", "solver.prototxt")
        assert "net.prototxt: layer 'up'" in shown
        assert "'pol'" in shown

    def test_a_truncated_caffemodel_is_named(self, capsys, folder):
        raw = (folder / "init.caffemodel").read_bytes()
        (folder / "cut.caffemodel").write_bytes(raw[:-100])
        write_solver(folder, BASE)
        shown = refused(
            capsys, "train", "-solver", "solver.prototxt", "-weights", "cut.caffemodel"
        )
        assert "cut.caffemodel" in shown

    def test_weights_of_another_shape_are_named(self, capsys, folder):
        text = (folder / "net.prototxt").read_text()
        (folder / "wide.prototxt").write_text(
            text.replace("num_output: 3", "num_output: 5")
        )
        shown = refused(
            capsys, "test", "-model", "wide.prototxt", "-weights", "init.caffemodel"
        )
        assert (
            "init.caffemodel: Cannot copy param 0 weights from layer 'score'" in shown
        )

    def test_layers_that_no_file_of_weights_has_are_warned_of(self, capsys, folder):
        text = (folder / "net.prototxt").read_text()
        (folder / "other.prototxt").write_text(
            text.replace('name: "score"', 'name: "other"')
        )
        words = ["test", "-iterations", "1", "-weights", "init.caffemodel"]
        assert main([*words, "-model", "net.prototxt"]) == 0
        assert not _warnings(capsys)
        assert main([*words, "-model", "other.prototxt"]) == 0
        (warning,) = _warnings(capsys)
        assert "init.caffemodel: no weights for layer 'other'" in warning

    def test_a_layer_that_one_of_several_files_has_is_not_warned_of(
        self, capsys, folder
    ):
        (folder / "empty.caffemodel").write_bytes(
            caffe_pb2.NetParameter(layer=[{"name": "none"}]).SerializeToString()
        )
        words = ["test", "-iterations", "1", "-model", "net.prototxt", "-weights"]
        for names_of_files in (
            "init.caffemodel,empty.caffemodel",
            "empty.caffemodel,init.caffemodel",
        ):
            assert main([*words, names_of_files]) == 0
            assert not _warnings(capsys)

    def test_data_without_labels_is_named(self, capsys, folder):
        import h5py

        with h5py.File(folder / "train.h5", "a") as file:
            del file["label"]
        write_solver(folder, BASE)
        shown = refused(capsys, "train", "-solver", "solver.prototxt")
        assert "train.h5" in shown
        assert "label" in shown

    def test_nothing_is_left_behind(self, capsys, folder):
        write_solver(folder, BASE + 'snapshot: 5 weights: "gone.caffemodel"')
        before = names(folder)
        refused(capsys, "train", "-solver", "solver.prototxt")
        assert names(folder) == before


class TestDevices:
    @pytest.fixture(autouse=True)
    def no_gpu(self, monkeypatch):
        monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
        yield
        common.set_mode_cpu()
        monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
        common.set_device(0)

    @pytest.mark.parametrize("gpu", ["0", "7", "all", "-1"])
    def test_a_gpu_that_is_not_there_is_a_clear_error(self, capsys, folder, gpu):
        write_solver(folder, BASE)
        shown = refused(capsys, "train", "-solver", "solver.prototxt", "-gpu", gpu)
        assert "invalid device ordinal" in shown

    def test_a_solver_that_wants_a_gpu_says_so(self, capsys, folder):
        write_solver(folder, BASE.replace("CPU", "GPU"))
        shown = refused(capsys, "train", "-solver", "solver.prototxt")
        assert "solver.prototxt says solver_mode: GPU, but GPU 0: invalid" in shown

    def test_a_solver_that_states_no_mode_trains_on_the_cpu(self, capsys, folder):
        write_solver(folder, BASE.replace("solver_mode: CPU", ""))
        assert main(["train", "-solver", "solver.prototxt"]) == 0
        assert "] Use CPU.\n" in capsys.readouterr().err

    def test_a_gpu_is_named_once(self, capsys, folder):
        write_solver(folder, BASE)
        shown = refused(capsys, "train", "-solver", "solver.prototxt", "-gpu", "0,0")
        assert "-gpu 0,0: expected each GPU once" in shown

    def test_the_device_of_the_solver_is_used(self, capsys, folder):
        write_solver(folder, BASE.replace("CPU", "GPU") + "device_id: 3")
        shown = refused(capsys, "train", "-solver", "solver.prototxt")
        assert "but GPU 3: invalid device ordinal" in shown

    def test_several_gpus_have_one_process_each(self, capsys, folder, monkeypatch):
        launched = []
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        monkeypatch.setattr("torch.cuda.get_device_name", lambda n: f"card {n}")
        monkeypatch.setattr(
            "caffe.cli.ranks.launch",
            lambda work, gpus, requests, debug: launched.append(gpus),
        )
        write_solver(folder, BASE)
        for gpus in ("1,0", "all"):
            assert main(["train", "-solver", "solver.prototxt", "-gpu", gpus]) == 0
        assert launched == [[1, 0], [0, 1]]
        shown = capsys.readouterr().err
        assert "] Using GPUs 1, 0\n" in shown
        assert "] GPU 1: card 1\n" in shown

    def test_the_first_gpu_scores(self, capsys, folder, monkeypatch):
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        monkeypatch.setattr("torch.cuda.get_device_name", lambda n: f"card {n}")
        arguments = ["-model", "gone", "-weights", "w", "-gpu", "1,0"]
        assert main(["test", *arguments]) == 1
        shown = capsys.readouterr().err
        assert "] Use GPU with device ID 1\n" in shown
        assert "] GPU device name: card 1\n" in shown

    def test_ranks_on_the_cpu_and_a_solver_on_a_gpu_do_not_go_together(
        self, capsys, folder, monkeypatch
    ):
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        write_solver(folder, BASE.replace("CPU", "GPU"))
        shown = refused(capsys, "train", "-solver", "solver.prototxt", "-ranks", "2")
        assert "-ranks 2: solver.prototxt says solver_mode: GPU; say" in shown

    def test_device_query_counts_what_there_is(self, capsys):
        assert main(["device_query"]) == 0
        assert "] 0 GPUs found" in capsys.readouterr().err


class TestTrain:
    def test_weights_on_the_command_line_replace_those_of_the_solver(
        self, capsys, folder
    ):
        write_solver(folder, BASE + 'weights: "gone.caffemodel"')
        arguments = ["-solver", "solver.prototxt", "-weights", "init.caffemodel"]
        assert main(["train", *arguments]) == 0
        assert "] Finetuning from init.caffemodel\n" in capsys.readouterr().err

    def test_the_command_and_python_train_alike(self, capsys, folder):
        path = write_solver(folder, BASE + TestTrain.often)
        assert main(["train", "-solver", path]) == 0
        solver = caffe.get_solver(path)
        solver.step(12)
        trained = caffe.Net(
            "net.prototxt", caffe.TEST, weights="snap_iter_12.caffemodel"
        )
        for name, blobs in trained.params.items():
            for mine, theirs in zip(blobs, solver.net.params[name], strict=True):
                np.testing.assert_allclose(mine.data, theirs.data, rtol=1e-5, atol=1e-7)

    often = "test_iter: 1 test_interval: 4 display: 2 "


def wait_for(process, text, seconds=300):
    """Read the process's log until a line holds the text."""
    end = time.monotonic() + seconds
    for line in process.stderr:
        if text in line:
            return
        assert time.monotonic() < end
    raise AssertionError(f"the process ended without '{text}'")


class TestProcess:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_stops_after_a_snapshot(self, folder, number):
        process = start("train", "-solver", write_solver(folder, LONG))
        wait_for(process, "Iteration 3,")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "")
        tail = [line.partition("] ")[2] for line in err.splitlines()][-4:]
        weights = tail[0].removeprefix("Snapshotting to binary proto file ")
        stem = weights.removesuffix(".caffemodel")
        assert tail == [
            f"Snapshotting to binary proto file {stem}.caffemodel",
            f"Snapshotting solver state to binary proto file {stem}.solverstate",
            "Optimization stopped early.",
            "Optimization Done.",
        ]
        assert [n for n in names(folder) if n.startswith("snap")] == [
            f"{stem}.caffemodel",
            f"{stem}.solverstate",
            f"{stem}.solverstate.resume.npz",
        ]

    def test_a_snapshot_comes_also_where_the_data_vanish_with_the_signal(self, folder):
        process = start("train", "-solver", hdf5_training(folder))
        wait_for(process, "Iteration 3,")
        process.stderr.close()  # the Fiji plugin under Java 17 leaves in one go
        for name in ("first.h5", "second.h5", "list.txt", "net.prototxt"):
            (folder / name).unlink()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "")
        left = [name.partition("_iter_")[0] for name in names(folder)]
        assert left == ["snap", "snap", "snap", "solver.prototxt"]

    @pytest.mark.slow
    def test_without_a_signal_vanished_data_are_an_error(self, folder):
        process = start("train", "-solver", hdf5_training(folder))
        wait_for(process, "Iteration 3,")
        (folder / "first.h5").unlink()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "first.h5: no such file, though list.txt lists it" in err

    @pytest.mark.slow
    def test_sighup_snapshots_and_training_goes_on(self, folder):
        process = start("train", "-solver", write_solver(folder, LONG))
        wait_for(process, "Iteration 3,")
        process.send_signal(signal.SIGHUP)
        wait_for(process, "Snapshotting solver state to binary proto file")
        wait_for(process, "Iteration ")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert sum(n.endswith(".caffemodel") for n in names(folder)) == 3

    def test_a_full_disk_ends_training_and_the_snapshot_before_survives(self, folder):
        def small_files_only():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

        caffe.get_solver(write_solver(folder, BASE + "snapshot: 6 ")).step(6)
        before = {n: (folder / n).read_bytes() for n in names(folder)}
        process = start(
            "train", "-solver", "solver.prototxt", preexec_fn=small_files_only
        )
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (1, "")
        last = err.splitlines()[-1]
        assert last.startswith("F")
        assert "snap_iter_6.caffemodel: cannot be written: File too large" in last
        assert {n: (folder / n).read_bytes() for n in names(folder)} == before

    @pytest.mark.slow
    def test_a_log_that_nobody_reads_ends_it_after_a_snapshot(self, folder):
        process = start("train", "-solver", write_solver(folder, BASE + "display: 1 "))
        process.stderr.close()
        process.stderr = None
        process.communicate(timeout=60)
        assert process.returncode == 0
        (state,) = folder.glob("*.solverstate")
        assert f"{state.stem}.caffemodel" in names(folder)
        assert f"{state.name}.resume.npz" in names(folder)


CHANCE = """
layer { name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "train.txt" batch_size: 3 shuffle: true } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "score" type: "Convolution" bottom: "conv" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label"
  top: "loss" }
"""


class TestRanks:
    """Two processes on the CPU."""

    TESTED = "display: 1 average_loss: 3 test_iter: 1 test_interval: 5 snapshot: 5 "

    @pytest.fixture
    def net(self, folder):
        (folder / "net.prototxt").write_text(CHANCE)

    def finished(self, process):
        out, err = process.communicate(timeout=120)
        assert out == ""
        return process.returncode, err

    def children(self, process):
        """Processes of the ranks, in order."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                command = (status.parent / "cmdline").read_text()
            except OSError:
                continue
            if parent == process.pid and "spawn_main" in command:
                found.append(int(status.parent.name))
        return sorted(found)

    @pytest.mark.slow
    def test_stopping_and_resuming_changes_no_bit(self, folder, net):
        write_solver(folder, BASE + self.TESTED)
        status, whole = self.finished(
            start("train", "-solver", "solver.prototxt", "-ranks", "2")
        )
        assert status == 0
        wanted = (folder / "snap_iter_12.caffemodel").read_bytes()
        assert "snap_iter_5.solverstate.rank1.resume.npz" in names(folder)
        (folder / "snap_iter_12.caffemodel").unlink()
        state = "snap_iter_5.solverstate"
        status, resumed = self.finished(
            start("train", "-solver", "solver.prototxt", "-ranks=2", "-snapshot", state)
        )
        assert status == 0
        assert (folder / "snap_iter_12.caffemodel").read_bytes() == wanted
        last = [
            [line for line in log.splitlines() if "Iteration 12, loss" in line]
            for log in (whole, resumed)
        ]
        assert len(last[0]) == 1
        assert last[0][0].partition("] ")[2] == last[1][0].partition("] ")[2]
        status, other = self.finished(
            start("train", "-solver", "solver.prototxt", "-snapshot", state)
        )
        assert status == 0
        assert "was written by one of 2 ranks, not 1" in other

    @pytest.mark.parametrize("whom", [slow("the command"), slow("the second rank")])
    def test_a_signal_stops_all_after_one_snapshot(self, folder, net, whom):
        process = start("train", "-solver", write_solver(folder, LONG), "-ranks", "2")
        wait_for(process, "Iteration 3,")
        target = process.pid if whom == "the command" else self.children(process)[1]
        os.kill(target, signal.SIGINT)
        status, err = self.finished(process)
        assert status == 0
        assert [
            n.partition("_iter_")[2].partition(".")[2]
            for n in names(folder)
            if n.startswith("snap")
        ] == [
            "caffemodel",
            "solverstate",
            "solverstate.rank1.resume.npz",
            "solverstate.resume.npz",
        ]
        assert err.splitlines()[-1].endswith("] Optimization Done.")

    @pytest.mark.parametrize("rank", [0, slow(1)])
    def test_a_rank_that_is_killed_ends_all_with_one_line(self, folder, net, rank):
        process = start("train", "-solver", write_solver(folder, LONG), "-ranks", "2")
        wait_for(process, "Iteration 3,")
        children = self.children(process)
        os.kill(children[rank], signal.SIGKILL)
        status, err = self.finished(process)
        assert status == 1
        (line,) = [line for line in err.splitlines() if line[:1] in "WEF"]
        assert line.endswith(f"] caffe train: rank {rank} was killed by SIGKILL")
        assert not any(Path("/proc", str(number)).exists() for number in children)

    def test_a_rank_trains_as_the_command_does(self, folder, capsys):
        write_solver(folder, BASE)
        assert main(["train", "-solver", "solver.prototxt"]) == 0
        wanted = (folder / "snap_iter_12.caffemodel").read_bytes()
        (folder / "snap_iter_12.caffemodel").unlink()
        flags = Flags(solver="solver.prototxt")
        place = ranks.Place(0, 1, os.fsencode(folder / "meeting"), None)
        try:
            train._train_as(flags, place)
        finally:
            common.set_multiprocess(False)
        assert (folder / "snap_iter_12.caffemodel").read_bytes() == wanted

    @pytest.mark.slow
    def test_ranks_end_with_the_command(self, folder, net):
        process = start("train", "-solver", write_solver(folder, LONG), "-ranks", "2")
        wait_for(process, "Iteration 3,")
        children = self.children(process)
        process.kill()
        process.communicate(timeout=60)
        end = time.monotonic() + 30
        while any(Path("/proc", str(number)).exists() for number in children):
            assert time.monotonic() < end
            time.sleep(0.05)

    @pytest.mark.slow
    def test_an_error_of_all_is_one_line(self, folder):
        text = BASE.replace("net.prototxt", "gone.prototxt")
        status, err = self.finished(
            start("train", "-solver", write_solver(folder, text), "-ranks", "2")
        )
        assert status == 1
        (line,) = [line for line in err.splitlines() if line.startswith("F")]
        assert line == err.splitlines()[-1]
        assert "] caffe train: gone.prototxt" in line
        assert "Traceback" not in err
