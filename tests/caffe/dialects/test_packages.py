"""A package of somebody else brings a layer type with a message of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "tests" / "support" / "shrinkage"
NET = """
name: "shrinking"
layer { name: "data" type: "Input" top: "data" top: "target"
  input_param { shape { dim: 4 dim: 2 } shape { dim: 4 dim: 2 } } }
layer { name: "shrink" type: "Shrinkage" bottom: "data" top: "shrunk"
  shrinkage_param { filler { value: 0.25 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "shrunk" bottom: "target"
  top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 1 lr_policy: "fixed" max_iter: 3 display: 1
snapshot_prefix: "run" snapshot: 3 solver_mode: CPU
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    """Folder into which the package is installed."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--no-build-isolation"]
    source = folder / "source"
    subprocess.run(["cp", "-r", str(PACKAGE), str(source)], check=True)
    target = folder / "packages"
    subprocess.run([*command, f"--target={target}", str(source)], check=True)
    return target


@pytest.fixture
def program(packages, tmp_path):
    """Run a program, or a command, in a process that has the package."""
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)

    def run(code: str = "", *command: str, status: int = 0) -> str:
        environment = {**os.environ, "PYTHONPATH": f"{packages}{os.pathsep}{ROOT}"}
        done = subprocess.run(
            [sys.executable, *(command or ("-c", textwrap.dedent(code)))],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_a_net_with_its_layer_is_read_computes_and_is_printed(program):
    code = """
    import caffe, numpy as np
    param = caffe.read_net("net.prototxt")
    assert param.layer[1].shrinkage_param.filler.value == 0.25
    assert "shrinkage_param {" in caffe.to_text(param)
    assert caffe.parse_net(caffe.to_text(param)) == param
    assert "Shrinkage" in caffe.layer_type_list()
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.blobs["data"].data[...] = [[1, -1], [0.2, -0.2], [0, 0], [-3, 3]]
    net.forward()
    expected = [[0.75, -0.75], [0, 0], [0, 0], [-2.75, 2.75]]
    assert net.blobs["shrunk"].data.tolist() == expected
    """
    program(code)


def test_a_solver_trains_it_and_its_weights_are_loaded(program):
    code = """
    import caffe, numpy as np
    solver = caffe.SGDSolver("solver.prototxt")
    net = solver.net
    net.blobs["data"].data[...] = 1
    net.blobs["target"].data[...] = [0.5, 0.75]
    solver.step(1)
    # loss: sum (1 - t - target)^2 / (2 N); by t: -(1 - t - target), the mean over N
    assert net.params["shrink"][0].data.tolist() == [0.5, 0.25]
    assert net.params["shrink"][0].diff.tolist() == [-0.25, 0]
    net.save("kept.caffemodel")
    net.save_hdf5("kept.caffemodel.h5")
    for name in ("kept.caffemodel", "kept.caffemodel.h5"):
        again = caffe.Net("net.prototxt", caffe.TEST, weights=name, complete=True)
        assert again.params["shrink"][0].data.tolist() == [0.5, 0.25]
    """
    program(code)


def test_the_command_trains_it(program, tmp_path):
    log = program("", "-m", "caffe", "train", "-solver", "solver.prototxt")
    assert "Optimization Done." in log
    assert (tmp_path / "run_iter_3.caffemodel").is_file()


@pytest.mark.slow
def test_net_spec_makes_it(program):
    code = """
    import caffe
    from caffe import layers as L, params as P
    n = caffe.NetSpec()
    n.data = L.Input(input_param=dict(shape=dict(dim=[1, 2])))
    n.shrunk = L.Shrinkage(n.data, mode=P.Shrinkage.HARD, filler=dict(value=1))
    layer = n.to_proto().layer[1]
    assert layer.shrinkage_param.mode == layer.shrinkage_param.HARD
    assert layer.shrinkage_param.filler.value == 1
    net = caffe.Net(n.to_proto(), caffe.TEST)
    net.blobs["data"].data[...] = [0.5, -2]
    assert net.forward()["shrunk"].tolist() == [[0, -2]]
    """
    program(code)


def test_a_binary_file_with_its_own_numbers_is_told_from_freiburgs(program):
    # number 149 is Freiburg's value_augmentation_param, and shrinkage_param in a file
    # of the package's own: name "s", type "Shrinkage", 149 { mode: HARD }
    code = r"""
    from pathlib import Path
    import caffe
    from caffe.proto import caffe_pb2
    from caffe.proto.files import read_net_binary
    layer = b"\\n\\x01s\\x12\\x09Shrinkage" + b"\\xaa\\x09\\x02\\x08\\x01"
    Path("own").write_bytes(b"\\xa2\\x06" + bytes([len(layer)]) + layer)
    found = read_net_binary("own").layer[0]
    assert found.shrinkage_param.mode == found.shrinkage_param.HARD
    assert not found.HasField("value_augmentation_param")
    # what is written here is read as it was
    Path("ours").write_bytes(caffe_pb2.NetParameter(layer=[found]).SerializeToString())
    assert read_net_binary("ours").layer[0] == found
    assert found.DESCRIPTOR.fields_by_name["value_augmentation_param"].number == 149
    print(found.DESCRIPTOR.fields_by_name["shrinkage_param"].number)
    """
    # drawn from its name, so that it is the same wherever the package is installed
    assert program(code.replace("\\\\", "\\")) == "513594364\n"


@pytest.mark.slow
def test_what_has_no_form_in_another_program_is_refused_by_its_name(program):
    code = """
    import caffe, caffe.export
    try:
        caffe.export.to_onnx(caffe.Net("net.prototxt", caffe.TEST), "net.onnx")
    except caffe.CaffeError as error:
        print(error)
    """
    assert "Shrinkage" in program(code)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("dialect = 5", "expected a Dialect, got int"),
        (
            "from caffe.dialects import Dialect\n"
            "dialect = Dialect(name='broken', fields='/no/such.proto')",
            "/no/such.proto: cannot read it: No such file",
        ),
    ],
)
def test_a_package_that_is_broken_is_named(program, tmp_path, content, complaint):
    (tmp_path / "broken.py").write_text(content)
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[caffe.dialects]\nbroken = broken:dialect\n"
    )
    code = """
    from caffe.errors import CaffeError
    try:
        import caffe.proto.caffe_pb2
    except CaffeError as error:
        print(error)
    """
    shown = program(code)
    assert complaint in shown
    assert "broken" in shown
    assert shown.count("\n") == 1
