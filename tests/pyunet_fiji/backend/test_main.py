"""The command line."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from pyunet import __version__
from pyunet_fiji.backend import main
from pyunet_fiji.backend.main import run
from tests.support.files import names

UNET = Path(__file__).parents[2] / "reference" / "tiled" / "unet2d"
COMMAND = [sys.executable, "-c", "from pyunet_fiji.backend.main import main; main()"]
PROGRESS = re.compile(r"Processing batch ([0-9]+)/([0-9]+), tile ([0-9]+)/([0-9]+)")


def start(*arguments, **options):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(main.__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def predict(path, *tiling):
    return [
        "tiled_predict", "-infileH5", path, "-outfileH5", path,
        "-model", UNET / "model.modeldef.h5",
        "-weights", UNET / "weights.caffemodel.h5", "-iterations", "0", *tiling,
    ]  # fmt: skip


@pytest.fixture
def large(tmp_path):
    """Some thousand tiles: more than will be computed."""
    path = tmp_path / "io.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((1, 1, 400, 400), np.float32)
    return path


@pytest.mark.parametrize("arguments", [[], ["one", "two"], ["-gpu", "0"]])
def test_without_one_action_the_usage_is_shown_with_status_0(arguments, capsys):
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    assert "command line brew" in out
    assert "usage: caffe_unet <command> <args>" in out
    for action in ("tiled_predict", "check_model_and_weights_h5", "device_query"):
        assert f"  {action}" in out
    assert "-gpu_mem_available_MB" in out
    assert not err


def test_help_is_the_usage_with_status_1(capsys):
    assert run(["tiled_predict", "-help"]) == 1
    assert "command line brew" in capsys.readouterr().out


def test_the_version_is_told(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"caffe_unet version {__version__}\n"


def test_wrong_flags_are_status_1(capsys):
    assert run(["tiled_predict", "-what", "-iterations", "x"]) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "ERROR: unknown command line flag 'what'",
        "ERROR: illegal value 'x' specified for int32 flag 'iterations'",
    ]
    assert not out


def test_an_unknown_action_names_the_known_ones(capsys):
    assert run(["train"]) == 134
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("] ")[2] for line in lines[:5]] == [
        "Available caffe_unet actions:",
        "\tcheck_model_and_weights_h5",
        "\tdevice_query",
        "\ttiled_predict",
        "Unknown action: train",
    ]
    assert [line[0] for line in lines[:5]] == list("EEEEF")
    assert lines[5] == "*** Check failure stack trace: ***"


def test_a_failed_check_is_one_line_without_anything_on_stdout(capsys):
    assert run(["tiled_predict"]) == 134
    out, err = capsys.readouterr()
    assert not out
    first, second = err.splitlines()
    assert re.match(r"F.*tiled_predict\.cpp:\d+\] Check failed: Need an hdf5 in", first)
    assert second.startswith("***")


def test_a_gpu_that_is_not_there_is_said_in_the_words_that_the_plugin_looks_for(capsys):
    arguments = predict("in.h5", "-gpu", "99")
    assert run([str(argument) for argument in arguments]) == 134
    (line,) = [s for s in capsys.readouterr().err.splitlines() if s.startswith("F")]
    assert "Check failed: error == cudaSuccess" in line
    assert "invalid device ordinal" in line


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (MemoryError(), "syncedmem.cpp:71] Check failed: out of memory (MemoryError)"),
        (
            RuntimeError("CUDNN_STATUS_ARCH_MISMATCH"),
            "RuntimeError: CUDNN_STATUS_ARCH_MISMATCH",
        ),
        (PermissionError(13, "Permission denied", "x.h5"), "Check failed: [Errno 13]"),
    ],
)
def test_whatever_goes_wrong_is_one_line(error, wanted, monkeypatch, capsys):
    def fail(_):
        raise error

    monkeypatch.setattr("pyunet_fiji.backend.devices.run", fail)
    assert run(["device_query"]) == 134
    assert wanted in capsys.readouterr().err.splitlines()[0]


def test_device_query_is_status_0(capsys):
    assert run(["device_query"]) == 0
    assert "Querying GPUs" in capsys.readouterr().err


def test_the_console_script_restores_signals_and_leaves(
    monkeypatch, signals_as_before, capsys
):
    ended = []
    monkeypatch.setattr(sys, "argv", ["caffe_unet", "-version"])
    monkeypatch.setattr(main, "leave", ended.append)
    main.main()
    assert ended == [0]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_a_bare_call_loads_neither_torch_nor_numpy():
    code = (
        "import sys\nfrom pyunet_fiji.backend.main import run\nassert run([]) == 0\n"
        "assert not {'torch', 'numpy', 'h5py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_equal_idents_load_no_torch(tmp_path):
    with h5py.File(UNET / "model.modeldef.h5") as file:
        ident = file[".unet-ident"][()]
    weights = tmp_path / "w.caffemodel.h5"
    with h5py.File(weights, "w") as file:
        file[".unet-ident"] = ident
    code = (
        "import sys\nfrom pyunet_fiji.backend.main import run\n"
        f"assert run(['check_model_and_weights_h5', '-weights', {str(weights)!r},\n"
        f"    '-model', {str(UNET / 'model.modeldef.h5')!r}]) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
def test_a_process_with_an_open_stdin_computes_scores(tmp_path):
    path = tmp_path / "io.h5"
    shutil.copy(UNET / "input_0.h5", path)
    with start(*predict(path, "-n_tiles", "4")) as process:
        # the pipe to it stays open until it has ended
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait() == 0, err
    assert all(PROGRESS.fullmatch(line) for line in out.splitlines())
    assert len(out.splitlines()) == 8
    with h5py.File(path) as got, h5py.File(UNET / "out_ntiles4.h5") as want:
        np.testing.assert_allclose(got["score"], want["score"], rtol=1e-3, atol=1e-4)
    assert names(tmp_path) == ["io.h5"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_segmentation_and_deleted_files_stay_deleted(number, large):
    process = start(*predict(large, "-tile_size", "4x4"))
    assert PROGRESS.fullmatch(process.stdout.readline().rstrip("\n"))
    process.send_signal(number)
    large.unlink()
    process.communicate()
    assert process.returncode == -number
    assert not names(large.parent)


def test_an_input_that_was_deleted_is_no_success(tmp_path):
    path = tmp_path / "io.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((1, 1, 60, 60), np.float32)
    process = start(*predict(path, "-tile_size", "4x4"))
    process.stdout.readline()
    path.unlink()
    _, err = process.communicate()
    assert process.returncode == 134
    assert "deleted meanwhile" in err
    assert not names(tmp_path)


@pytest.mark.slow
def test_a_client_that_reads_nothing_any_more_does_not_stop_the_work(tmp_path):
    path = tmp_path / "io.h5"
    shutil.copy(UNET / "input_0.h5", path)
    process = start(*predict(path, "-n_tiles", "4"))
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    assert process.wait() == 0
    with h5py.File(path) as file:
        assert list(file) == ["score"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX limits")
def test_a_full_disk_ends_with_a_line_and_leaves_the_input(large):
    import resource

    before = large.read_bytes()
    process = start(
        *predict(large, "-n_tiles", "1"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)),
    )
    _, err = process.communicate()
    assert process.returncode == 134
    assert "Failed to create or reopen HDF5 file" in err
    assert large.read_bytes() == before
    assert names(large.parent) == ["io.h5"]


@pytest.mark.slow
def test_train_is_that_of_caffe(tmp_path):
    solver = tmp_path / "solver.prototxt"
    solver.write_text(
        'net_param { layer { name: "d" type: "DummyData" top: "x" top: "y" '
        "dummy_data_param { shape { dim: 2 dim: 3 } } } "
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" '
        "inner_product_param { num_output: 3 } } "
        'layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" '
        'top: "loss" } } base_lr: 0.1 lr_policy: "fixed" max_iter: 2 display: 1 '
        f'snapshot_prefix: "{tmp_path / "s"}" snapshot_format: HDF5\n'
    )
    process = start("train", "-solver", str(solver), "-sigint_effect", "stop")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Optimization Done." in err
    assert (tmp_path / "s_iter_2.caffemodel.h5").is_file()
