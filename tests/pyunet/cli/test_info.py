import subprocess
import sys

import pytest

from pyunet.cli import main

TWO_INPUTS = """
layer { name: "data" type: "Input" top: "a" top: "b"
  input_param { shape { dim: 1 dim: 2 } } }
"""


def info(capsys, *words):
    status = main(["info", *map(str, words)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_shows_parameters_multiply_adds_and_memory_of_a_packaged_net(capsys):
    status, out, _ = info(capsys, "unet_isbi2012")
    assert status == 0
    assert "data: 1 x 1 x 572 x 572" in out
    assert "score: 1 x 2 x 388 x 388" in out
    assert "31,030,658  (118.4 MiB)" in out
    assert "150,428,424,448  (300.86 GFLOP)" in out
    assert "MiB a tile" in out


def test_counts_for_another_tile(capsys):
    _, out, _ = info(capsys, "unet_demo", "--input-shape", "204")
    assert "data: 1 x 1 x 204 x 204" in out
    _, out, _ = info(capsys, "unet_demo", "--input-shape", "188,204")
    assert "data: 1 x 1 x 188 x 204" in out


def test_lists_layers_that_have_weights(capsys):
    _, out, _ = info(capsys, "unet_demo", "--layers")
    rows = [line.split() for line in out.splitlines()]
    assert ["layer", "type", "parameters", "multiply-adds"] in rows
    assert ["conv_d0a-b", "Convolution", "160", "4,981,824"] in rows
    assert not any(row[:1] == ["relu_d0b"] for row in rows)


def test_shows_a_net_without_weights(tmp_path, capsys):
    (tmp_path / "net.prototxt").write_text(TWO_INPUTS)
    status, out, _ = info(capsys, tmp_path / "net.prototxt", "--layers", "--train")
    assert status == 0
    assert "parameters     0  (0 bytes)" in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nonsense",), "nonsense: no such file, folder or model"),
        (("unet_demo", "--input-shape", "1,2,3"), "3 numbers; accepted are 1 or 2"),
        (("unet_demo", "--input-shape", "5"), "--input-shape 5: layer 'conv_d1a-b'"),
    ],
)
def test_refusals_are_one_line(capsys, words, text):
    status, _, err = info(capsys, *words)
    assert status == 1
    assert err.startswith("pyunet info: ")
    assert err.count("\n") == 1
    assert text in err


def test_a_net_of_two_inputs_has_no_tile(tmp_path, capsys):
    (tmp_path / "net.prototxt").write_text(TWO_INPUTS)
    status, _, err = info(capsys, tmp_path / "net.prototxt", "--input-shape", "5")
    assert status == 1
    assert "accepted is one image" in err


def test_a_file_that_is_no_net(tmp_path, capsys):
    (tmp_path / "net.prototxt").write_text("layer { nonsense }")
    status, _, err = info(capsys, tmp_path / "net.prototxt")
    assert status == 1
    assert "net.prototxt" in err


@pytest.mark.parametrize("shape", ["0", "a", "5,"])
def test_a_tile_that_is_none_is_refused_by_the_parser(capsys, shape):
    assert info(capsys, "unet_demo", "--input-shape", shape)[0] == 2


def test_the_verb_loads_no_numpy_until_it_runs():
    code = "import sys, pyunet.cli.info; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
