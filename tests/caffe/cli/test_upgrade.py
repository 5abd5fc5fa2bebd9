"""``caffe upgrade`` writes nets in today's form."""

from pathlib import Path

import pytest

from caffe.cli import main
from caffe.proto import caffe_pb2, files, text

REFERENCE = Path(__file__).parents[2] / "reference" / "upgrade"
DIALECT = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: 20 dim: 20 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 1 kernel_size: 5 } }
layer { name: "crop" type: "Crop" bottom: "data" bottom: "conv" top: "cut" }
"""


def crop_of(path):
    return next(x for x in files.read_net(path).layer if x.type == "Crop").crop_param


@pytest.mark.parametrize("name", ["v0", "v1", "v1_data"])
def test_an_old_net_becomes_what_caffe_makes_of_it(name, tmp_path):
    new = tmp_path / "new.prototxt"
    assert (
        main(
            [
                "upgrade",
                "-model",
                str(REFERENCE / f"{name}.prototxt"),
                "-output",
                str(new),
            ]
        )
        == 0
    )
    want = text.read_text(
        REFERENCE / f"{name}.upgraded.prototxt", caffe_pb2.NetParameter()
    )
    assert text.read_text(new, caffe_pb2.NetParameter()) == want


def test_offsets_of_the_2015_dialect_are_worked_out_when_asked_for(tmp_path):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text(DIALECT)
    asked = ["upgrade", "-model", str(old), "-output", str(new)]
    main([*asked, "-crop", "coordinate_maps"])
    assert list(crop_of(new).offset) == [2]
    main(asked)
    assert list(crop_of(new).offset) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-output", "new"], "Need a net and a file to write"),
        (
            ["-model", "gone.prototxt", "-output", "new"],
            "gone.prototxt: cannot read it",
        ),
        (["-model", "x", "-output", "new", "-crop", "guess"], "-crop guess: expected"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments, told, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["upgrade", *arguments]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert told.lower() in lines[0].lower()
    assert list(tmp_path.iterdir()) == []
