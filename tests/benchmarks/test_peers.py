"""The peers' processes, the nets that they share, and the numbers made of times."""

import doctest
import sys
from pathlib import Path

import pytest
import run
import scaling_page
from peers import machine, material, ours, processes, tables, twin
from peers.processes import FLOAT, PEERS, LeftOutError, Peer, Worker

# from the READMEs of prototxt/
SIDES = {
    "unet_isbi2012": 388,
    "unet_isbi2012_narrow": 388,
    "2d_cell_net_v0": 356,
    "unet_vessels": 228,
    "unet_demo": 148,
}


@pytest.mark.parametrize("model", sorted(twin.SHAPES))
def test_the_plain_net_gives_scores_of_the_size_that_the_readme_says(model):
    assert twin.SHAPES[model].output == SIDES[model]


@pytest.mark.parametrize(
    ("model", "count"), [("unet_demo", 116_770), ("unet_isbi2012", 31_030_658)]
)
def test_the_plain_net_has_as_many_parameters_as_the_readme_says(model, count):
    net = twin.make_net(twin.SHAPES[model])
    assert sum(values.numel() for values in net.parameters()) == count


def test_weights_of_another_net_are_refused(tmp_path):
    import numpy as np

    np.savez(tmp_path / "weights.npz", **{"00.weight": np.zeros(1)})
    net = twin.make_net(twin.SHAPES["unet_demo"])
    with pytest.raises(ValueError, match=r"1 arrays, the net has 26"):
        twin.load_weights(net, tmp_path / "weights.npz")


def test_a_ratio_compares_what_met_the_same_machine():
    # the machine is ten times slower in the second round, for both
    assert tables.ratio([[1.0], [10.0], [1.0]], [[2.0], [20.0], [2.0]]) == 0.5


def test_the_best_peer_is_the_fastest_one_that_is_not_ours():
    peers = {
        "ours": {"seconds": [[1.0, 1.0]], "about": {}},
        "openvino": {"seconds": [[2.0, 2.0]], "about": {"set_up_s": 0.5}},
        "torch-compile": {"seconds": [[4.0, 8.0]], "about": {"compile_s": 20.0}},
    }
    tables.summarise(peers)
    assert peers["ours"]["ratios"] == {"best": 0.5, "torch-compile": 1 / 6}
    assert peers["torch-compile"]["median_s"] == 6
    assert peers["torch-compile"]["min_s"] == 4
    lines = tables.table(peers).splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(peers)
    assert lines[1].split()[1:5] == ["1.0000", "1.0000", "0.500", "0.167"]


def test_what_a_peer_cannot_do_here_is_said_in_its_own_words(tmp_path, monkeypatch):
    monkeypatch.setattr(material, "CACHE", tmp_path)
    (material.folder_of("unet_demo") / "training").mkdir(parents=True)
    with pytest.raises(LeftOutError, match=r"ModuleNotFoundError: No module named"):
        Worker(Peer("no_such_program"), FLOAT, model="unet_demo", threads=1)


def test_without_an_original_caffe_its_peer_is_left_out():
    with pytest.raises(LeftOutError, match="--pycaffe names one"):
        Worker(PEERS["caffe"], FLOAT, model="unet_demo", threads=1)


def test_an_original_caffe_is_a_folder_for_this_python_or_a_python(tmp_path):
    python, env = processes._place(PEERS["caffe"], str(tmp_path))
    assert python == sys.executable
    assert env["PYTHONPATH"].startswith(str(tmp_path))
    program = tmp_path / "python2.7"
    program.touch()
    python, env = processes._place(PEERS["caffe"], str(program))
    assert python == str(program)
    assert str(tmp_path) not in env["PYTHONPATH"]


@pytest.mark.parametrize("name", ["__init__", "__main__", "original_caffe"])
def test_what_an_original_caffe_runs_is_written_for_old_pythons(name):
    # an f-string, an annotation or a keyword-only argument is a SyntaxError there
    import ast

    tree = ast.parse(Path(material.__file__).with_name(f"{name}.py").read_text())
    newer = (
        ast.JoinedStr,
        ast.AnnAssign,
        ast.NamedExpr,
        ast.AsyncFunctionDef,
        ast.Nonlocal,
    )
    for node in ast.walk(tree):
        assert not isinstance(node, newer)
        if isinstance(node, ast.arguments):
            assert not node.kwonlyargs
            assert not node.posonlyargs
        if isinstance(node, ast.arg):
            assert node.annotation is None


def test_a_bvlc_training_net_has_no_weights_of_pixels():
    text = (material.PROTOTXT / "unet_isbi2012" / "train.prototxt").read_text()
    shown = [
        line.partition("#")[0] for line in material.without_weights(text).splitlines()
    ]
    assert not any('"weights"' in line for line in shown)
    assert any('bottom: "score" bottom: "label" top: "loss"' in line for line in shown)


def test_a_machine_is_described_with_versions_and_commit():
    found = machine.describe()
    assert found["packages"]["numpy"].count(".") >= 1
    assert found["cores"] >= 1
    assert found["memory_gib"] > 0
    assert found["date"].endswith("+00:00")


@pytest.mark.parametrize("module", [material, run, scaling_page, tables])
def test_the_examples_of_a_module_are_right(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_a_backend_that_did_not_compute_is_not_believed():
    ours.check_backend("torch")
    with pytest.raises(RuntimeError, match="did not use a_backend_of_the_future"):
        ours.check_backend("a_backend_of_the_future")
